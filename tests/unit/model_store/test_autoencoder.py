import pytest
import torch
from pydantic import ValidationError

from model_store.architecture import Architecture
from model_store.autoencoder import Decoder, to_images
from model_store.encoders import new_encoder

SMALL = Architecture(widths=(4, 6), embedding_dim=5)


@pytest.mark.parametrize("input_size", [32, 64, 96])
def test_both_halves_have_the_shapes_that_the_architecture_says(input_size: int) -> None:
    architecture = Architecture.model_validate(
        {"input_size": input_size, "widths": (4, 6, 8), "embedding_dim": 5}
    )
    images = torch.rand(2, 3, input_size, input_size)

    with torch.inference_mode():
        embeddings = new_encoder(architecture)(images)
        drawn = Decoder(architecture)(embeddings)

    assert embeddings.shape == (2, 5)
    assert drawn.shape == images.shape
    assert 0 <= float(drawn.min()) <= float(drawn.max()) <= 1


def test_a_picture_embeds_alike_alone_and_in_a_batch() -> None:
    encoder = new_encoder(SMALL).eval()
    images = torch.rand(7, 3, 32, 32)

    with torch.inference_mode():
        together = encoder(images)
        alone = torch.cat([encoder(image[None]) for image in images])

    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


def test_memory_layout_of_the_input_changes_nothing() -> None:
    encoder = new_encoder(SMALL).eval()
    images = torch.rand(3, 3, 32, 32)

    with torch.inference_mode():
        rows_first = encoder(images.contiguous())
        channels_last = encoder(images.contiguous(memory_format=torch.channels_last))

    torch.testing.assert_close(rows_first, channels_last)


def test_weights_alone_restore_the_encoder() -> None:
    trained = new_encoder(SMALL).eval()
    restored = new_encoder(Architecture.model_validate_json(SMALL.model_dump_json())).eval()

    restored.load_state_dict(trained.state_dict())

    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(restored(images), trained(images))


def test_stored_pixels_become_channels_first_between_0_and_1() -> None:
    pixels = torch.zeros(1, 2, 2, 3, dtype=torch.uint8)
    pixels[0, 0, 1] = torch.tensor([255, 51, 0])

    images = to_images(pixels)

    assert images.shape == (1, 3, 2, 2)
    torch.testing.assert_close(images[0, :, 0, 1], torch.tensor([1.0, 0.2, 0.0]))
    assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "wrong",
    [{"widths": (8,)}, {"widths": (8, 0)}, {"input_size": 48}, {"name": "transformer"}, {"depth": 3}],
)
def test_an_impossible_architecture_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Architecture.model_validate(wrong)


@pytest.mark.parametrize("given", [0, 33, 256])
def test_a_wrong_side_is_answered_with_all_that_there_are(given: int) -> None:
    with pytest.raises(ValidationError) as caught:
        Architecture(input_size=given)
    said = f"it takes 32, 64, 96, 128, 160, 192, 224 pixels, not {given}"
    assert [error["msg"] for error in caught.value.errors()] == [said]
