from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model_store.architecture import Architecture
from model_store.encoders import new_encoder
from producer.errors import ConfigurationError, TrainingFailed
from training.fit import EpochReport, embed, fit_autoencoder
from training.fit_run import Best, shuffled
from training.fit_settings import FitSettings, plan_steps
from training.progress import Silent

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = Architecture(widths=(4, 6), embedding_dim=5)
Pixels = NDArray[np.uint8]


def two_kinds(n: int, seed: int = 0) -> Pixels:
    """Half the pictures have a bright left side, half a bright top, in noise."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 60, (n, 32, 32, 3), dtype=np.uint8)
    pixels[: n // 2, :, :16] += 150
    pixels[n // 2 :, :16] += 150
    return pixels


def settings(**changed: object) -> FitSettings:
    small = {"recipe": "pixel", "architecture": SMALL, "min_steps": 20, "max_steps": 20, "batch_size": 16}
    return FitSettings.model_validate(small | {"device": "cpu"} | changed)


@pytest.mark.parametrize("recipe", ["pixel", "pure"])
def test_training_lowers_the_validation_loss(recipe: str) -> None:
    changed = settings(recipe=recipe, max_steps=60, min_steps=60)

    fitted = fit_autoencoder(two_kinds(64), two_kinds(16, seed=1), changed)

    assert fitted.history[-1].validation["total"] < 0.95 * fitted.history[0].validation["total"]
    assert not fitted.encoder.training
    assert not fitted.decoder.training


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    runs = [fit_autoencoder(two_kinds(32), two_kinds(8), settings(random_state=seed)) for seed in (1, 1, 2)]

    first, again, other = (embed(run.encoder, two_kinds(8)) for run in runs)

    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_the_callers_random_state_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)

    torch.manual_seed(5)
    fit_autoencoder(two_kinds(32), two_kinds(8), settings(recipe="pure"))

    assert torch.equal(torch.rand(3), expected)


def test_a_small_corpus_is_passed_until_the_least_steps_and_a_large_one_cut_at_the_most() -> None:
    budget = settings(epochs=5, min_steps=100, max_steps=1000, batch_size=10)

    assert plan_steps(40, budget).n_steps == 100
    assert plan_steps(1000, budget).n_steps == 500
    assert plan_steps(10_000_000, budget).n_steps == 1000


def test_callbacks_see_every_step_and_every_epoch() -> None:
    steps = list[tuple[int, int | None]]()

    class Counting(Silent):
        def advance(self, done: int, total: int | None = None) -> None:
            steps.append((done, total))

    epochs: list[EpochReport] = []

    fitted = fit_autoencoder(
        two_kinds(32),
        two_kinds(8),
        settings(),
        on_epoch=epochs.append,
        progress=Counting(),
    )

    assert steps == [(done, 20) for done in range(1, 21)]
    assert epochs == fitted.history
    assert [report.epoch for report in epochs] == [1, 2]


def test_a_plateau_stops_the_run_but_not_before_the_least_steps() -> None:
    flat = settings(learning_rate=1e-12, min_steps=30, max_steps=500, epochs=250, patience=1)

    fitted = fit_autoencoder(two_kinds(32), two_kinds(8), flat)

    assert fitted.stopped_early
    assert len(fitted.history) == 3


def test_the_weights_of_the_lowest_loss_are_kept() -> None:
    network, best = torch.nn.Linear(1, 1), Best()

    for loss in (3.0, 1.0, 2.0):
        torch.nn.init.constant_(network.weight, loss)
        best.see(loss, network.state_dict())

    assert best.weights["weight"].item() == 1.0
    assert best.epochs_since == 1


def test_a_loss_that_is_not_finite_ends_the_run_with_advice() -> None:
    with pytest.raises(TrainingFailed, match="lower learning_rate"):
        fit_autoencoder(two_kinds(32), two_kinds(8), settings(learning_rate=1e30))


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (two_kinds(4), "^4 pictures, too few"),
        (two_kinds(1), "^1 picture, too few"),
        (np.zeros((20, 64, 64, 3), np.uint8), "input_size"),
        (np.zeros((20, 32, 32, 3), np.float32), "uint8"),
    ],
)
def test_pictures_that_cannot_be_trained_on_are_refused(pixels: Pixels, message: str) -> None:
    with pytest.raises(TrainingFailed, match=message):
        fit_autoencoder(pixels, two_kinds(8), settings())


def test_missing_cuda_is_said_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(ConfigurationError, match="auto"):
        settings(device="cuda").torch_device()
    assert settings(device="auto").torch_device().type == "cpu"


def test_every_pass_shows_every_picture_once() -> None:
    rows = np.concatenate(list(islice(shuffled(7, batch_size=5, random_state=0), 7)))

    assert all(sorted(one_pass) == list(range(7)) for one_pass in rows.reshape(5, 7))


def test_a_memory_mapped_corpus_trains_like_one_in_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "pixels.npy", two_kinds(32))
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")

    from_disk = fit_autoencoder(mapped, two_kinds(8), settings())
    from_memory = fit_autoencoder(two_kinds(32), two_kinds(8), settings())

    np.testing.assert_array_equal(embed(from_disk.encoder, mapped), embed(from_memory.encoder, two_kinds(32)))


def test_embed_gives_the_same_whatever_the_batch() -> None:
    encoder, pixels = new_encoder(SMALL), two_kinds(10)

    np.testing.assert_allclose(embed(encoder, pixels, 3), embed(encoder, pixels, 10), rtol=1e-4, atol=1e-5)


def test_a_run_of_ten_steps_is_a_run() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (16, 32, 32, 3), dtype=np.uint8)
    architecture = Architecture(widths=(8, 16), embedding_dim=8)
    settings = FitSettings(
        recipe="pixel",
        architecture=architecture,
        epochs=1,
        min_steps=10,
        max_steps=10,
        batch_size=16,
        device="cpu",
    )
    assert len(fit_autoencoder(pixels, pixels, settings).history) == 1
