"""What unit tests of every part begin with: an empty store, and the models of its default collection."""

import pytest

from model_store.object_store import MemoryStore
from model_store.registry import Registry


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def registry(store: MemoryStore) -> Registry:
    return Registry(store, "default")
