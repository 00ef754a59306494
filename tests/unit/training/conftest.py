from collections.abc import Callable
from functools import partial

import pytest

from model_store.object_store import MemoryStore
from tests.tiny_model import TinyBundle
from tests.unit.training.checked import classify, promote_of_yesterday
from training.runs import Runs


@pytest.fixture
def runs(store: MemoryStore) -> Runs:
    return Runs(store, "default")


@pytest.fixture
def with_champion(store: MemoryStore, tiny_bundle: TinyBundle) -> None:
    """Promote the tiny bundle, as made a day ago."""
    promote_of_yesterday(store, tiny_bundle)


@pytest.fixture
def classified(store: MemoryStore) -> Callable[..., None]:
    """Put pictures into the ledger of the store; it needs a champion."""
    return partial(classify, store)
