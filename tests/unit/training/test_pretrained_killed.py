"""A fit of the recipe `pretrained` that is taken up again."""

import time

import pytest
import torch

from model_store.object_store import MemoryStore
from tests.unit.training.one_trunk import random_trunk
from tests.unit.training.test_pretrained import SETTINGS, coloured
from training.checkpoint import FitState, RunCheckpoints
from training.fit import FittedAutoencoder, fit_autoencoder
from training.progress import Silent

pytestmark = pytest.mark.usefixtures("one_thread")

STOPPED_AT = 37


class Killed(Exception):
    """Stands for the end of the process."""


def fit(
    store: MemoryStore, attempt: int, stop_at: int | None = None, encoding_s: float = 0
) -> FittedAutoencoder:
    class Stopped(Silent):
        def advance(self, done: int, total: int | None = None) -> None:
            if total is None:
                time.sleep(encoding_s / 2)  # it is told of training pictures, then of others
            elif done == stop_at:
                raise Killed

    pixels, checkpoints = coloured(48), RunCheckpoints(store, "default", "slot", attempt, 0)
    return fit_autoencoder(pixels[:40], pixels[40:], SETTINGS, progress=Stopped(), checkpoints=checkpoints)


def killed(store: MemoryStore, stop_at: int = STOPPED_AT, encoding_s: float = 0) -> None:
    with pytest.raises(Killed):
        fit(store, 1, stop_at, encoding_s)


def test_a_checkpoint_holds_no_frozen_weights_and_is_continued_to_the_same_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random_trunk(monkeypatch)
    unbroken, store = fit(MemoryStore(), 1), MemoryStore()
    killed(store)
    [kept] = store.list()
    tensors = FitState.from_bytes(store.get(kept.key).data).tensors

    resumed = fit(store, 2)

    assert not [name for name in tensors if "trunk" in name]
    assert {name.partition(".")[0] for name in tensors} >= {"network", "best", "optimiser"}
    assert resumed.resumed_at == STOPPED_AT - 1
    for half in ("encoder", "decoder"):
        expected = getattr(unbroken, half).state_dict()
        for name, weights in getattr(resumed, half).state_dict().items():
            assert torch.equal(weights, expected[name]), name


def test_a_checkpoint_is_not_continued_with_other_frozen_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    random_trunk(monkeypatch)
    store = MemoryStore()
    killed(store)
    random_trunk(monkeypatch, seed=1)  # as if others had been installed meanwhile

    assert fit(store, 2).resumed_at == 0


def test_the_seconds_of_encoding_before_the_kill_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    random_trunk(monkeypatch)
    store = MemoryStore()
    killed(store, stop_at=1, encoding_s=0.6)

    resumed = fit(store, 2)

    assert resumed.earlier_s > 0.6
    assert resumed.seconds > resumed.history[-1].seconds > 0.6
