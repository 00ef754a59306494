from collections.abc import Callable

import pytest
import torch
from torch.backends import cudnn

from model_store.architecture import LITE0, Architecture
from model_store.autoencoder import Decoder
from model_store.encoders import new_encoder
from model_store.lite0_encoder import CPU_BATCH, Lite0Encoder

SMALL = Architecture(name=LITE0, input_size=64, widths=(4, 6), embedding_dim=1280)


@pytest.fixture
def encoder() -> Lite0Encoder:
    torch.manual_seed(0)
    encoder = new_encoder(SMALL)
    assert isinstance(encoder, Lite0Encoder)
    return encoder.eval()


def test_a_picture_embeds_alike_alone_and_in_a_batch_of_several_parts(encoder: Lite0Encoder) -> None:
    images = torch.rand(CPU_BATCH + 3, 3, 64, 64)

    with torch.inference_mode():
        together = encoder(images)
        alone = torch.cat([encoder(image[None]) for image in images])

    assert together.shape == (CPU_BATCH + 3, 1280)
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-6)


def watched(encoder: Lite0Encoder, look: Callable[[torch.Tensor], None]) -> Lite0Encoder:
    """Show what the trunk is given to `look`, before the trunk has it."""
    encoder.trunk.register_forward_pre_hook(lambda _, given: look(given[0]))
    return encoder


def test_the_trunk_sees_the_published_range(encoder: Lite0Encoder) -> None:
    seen = list[torch.Tensor]()

    watched(encoder, seen.append)(torch.tensor([0, 1.0]).view(2, 1, 1, 1).expand(-1, 3, 64, 64))

    black, white = torch.cat(seen)
    assert black.unique().tolist() == [-127 / 128]
    assert white.unique().tolist() == [1.0]


def test_once_there_is_one_the_process_computes_in_whole_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cudnn, "allow_tf32", True)

    new_encoder(SMALL)

    assert not cudnn.allow_tf32


def test_the_decoder_draws_a_quarter_of_the_side_and_scales_it_up() -> None:
    decoder = Decoder(SMALL).eval()

    with torch.inference_mode():
        drawn = decoder(torch.rand(2, 1280))
        small = decoder.draw(torch.rand(2, 1280))

    assert drawn.shape == (2, 3, 64, 64)
    assert small.shape == (2, 3, 16, 16)
