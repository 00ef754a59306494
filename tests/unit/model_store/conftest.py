from collections.abc import Callable

import pytest

from model_store.registry import Registry, Target
from tests.tiny_model import TinyBundle


@pytest.fixture
def publish(registry: Registry, tiny_bundle: TinyBundle) -> Callable[[str], Target]:
    """Publish the tiny bundle under another version."""
    manifest, files = tiny_bundle
    return lambda version: registry.publish(manifest.model_copy(update={"version": version}), files)
