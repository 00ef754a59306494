import numpy as np
import pytest
import torch

from model_store.architecture import Architecture
from model_store.object_store import MemoryStore
from producer.errors import StoreUnavailable
from tests.tiny_model import tiny_pixels
from training.checkpoint import FitState, RunCheckpoints
from training.fit import EpochReport, FittedAutoencoder, embed, fit_autoencoder
from training.fit_settings import FitSettings
from training.progress import Silent

SLOT = "20261123T030000Z"


class Killed(Exception):
    """Stands for the end of the process."""


pytestmark = pytest.mark.usefixtures("one_thread")


def settings(recipe: str = "pixel", random_state: int = 0) -> FitSettings:
    return FitSettings.model_validate(
        {
            "recipe": recipe,
            "architecture": Architecture(widths=(4, 6), embedding_dim=5),
            "min_steps": 60,
            "max_steps": 60,
            "batch_size": 16,
            "device": "cpu",
            "random_state": random_state,
        }
    )


def fit(
    checkpoints: RunCheckpoints | None,
    chosen: FitSettings,
    *,
    die_after: int | None = None,
    die_at_step: int | None = None,
    purpose: str = "a",
) -> tuple[FittedAutoencoder, list[int]]:
    """Fit, perhaps to be killed after an epoch; gives the epochs that were really gone through, too."""
    epochs: list[int] = []

    def on_epoch(report: EpochReport) -> None:
        if report.epoch == die_after:
            raise Killed
        epochs.append(report.epoch)

    class Dying(Silent):
        def advance(self, done: int, total: int | None = None) -> None:
            if done == die_at_step:
                raise Killed

    pixels = tiny_pixels(40)
    done = fit_autoencoder(
        pixels,
        pixels[:8],
        chosen,
        on_epoch=on_epoch,
        progress=Dying(),
        checkpoints=checkpoints,
        purpose=purpose,
    )
    return done, epochs


def attempt(store: MemoryStore, nth: int) -> RunCheckpoints:
    return RunCheckpoints(store, "default", SLOT, nth, every_s=0)


@pytest.mark.parametrize("recipe", ["pixel", "pure"])
def test_a_fit_that_was_cut_short_goes_on_to_the_weights_it_would_have_had(recipe: str) -> None:
    unbroken, all_epochs = fit(None, settings(recipe))
    store = MemoryStore()
    with pytest.raises(Killed):
        fit(attempt(store, 1), settings(recipe), die_after=4)

    resumed, epochs = fit(attempt(store, 2), settings(recipe))

    assert epochs == all_epochs[3:]
    assert [r.validation for r in resumed.history] == [r.validation for r in unbroken.history]
    np.testing.assert_array_equal(
        embed(resumed.encoder, tiny_pixels(9)), embed(unbroken.encoder, tiny_pixels(9))
    )


@pytest.mark.parametrize("recipe", ["pixel", "pure"])
def test_a_fit_cut_short_within_an_epoch_goes_on_after_its_last_step(recipe: str) -> None:
    unbroken, _ = fit(None, settings(recipe))
    store = MemoryStore()
    with pytest.raises(Killed):
        fit(attempt(store, 1), settings(recipe), die_at_step=37)

    resumed, _ = fit(attempt(store, 2), settings(recipe))

    assert resumed.resumed_at == 36
    assert resumed.seconds > resumed.earlier_s > 0  # the whole, as its epochs tell it
    assert resumed.seconds >= resumed.history[-1].seconds
    assert [(r.train, r.validation) for r in resumed.history] == [
        (r.train, r.validation) for r in unbroken.history
    ]
    np.testing.assert_array_equal(
        embed(resumed.encoder, tiny_pixels(9)), embed(unbroken.encoder, tiny_pixels(9))
    )


@pytest.mark.parametrize(("purpose", "seed"), [("another corpus", 0), ("a", 1)])
def test_a_checkpoint_of_another_corpus_or_other_settings_is_not_continued(purpose: str, seed: int) -> None:
    store = MemoryStore()
    with pytest.raises(Killed):
        fit(attempt(store, 1), settings(), die_after=4)

    _, epochs = fit(attempt(store, 2), settings(random_state=seed), purpose=purpose)

    assert epochs[0] == 1


def test_a_trainer_that_was_thought_dead_does_not_overwrite_its_successors_checkpoint() -> None:
    store = MemoryStore()
    for nth in (2, 1):  # the successor has saved, then the first wakes up and saves
        checkpoints = attempt(store, nth)
        checkpoints.load("a")
        checkpoints.save(FitState({"x": torch.tensor([nth])}, {}))

    state = attempt(store, 2).load("a")

    assert state is not None
    assert state.tensors["x"].item() == 2


def test_a_damaged_checkpoint_costs_time_and_nothing_else() -> None:
    store = MemoryStore()
    with pytest.raises(Killed):
        fit(attempt(store, 1), settings(), die_after=4)
    [info] = store.list()
    store.put(info.key, store.get(info.key).data[:-100])

    _, epochs = fit(attempt(store, 2), settings())

    assert epochs[0] == 1


def test_a_store_that_is_away_costs_a_checkpoint_not_the_run() -> None:
    class Away(MemoryStore):
        def put(self, key: str, data: bytes, **_: object) -> str:
            raise StoreUnavailable(f"{key}: {len(data)}")

    fitted, _ = fit(attempt(Away(), 1), settings())

    assert fitted.history


def test_checkpoints_go_when_the_run_has_ended() -> None:
    store = MemoryStore()
    with pytest.raises(Killed):
        fit(attempt(store, 1), settings(), die_after=4)
    fit(attempt(store, 2), settings())
    assert len(list(store.list())) == 2

    attempt(store, 2).clear()

    assert not list(store.list())
