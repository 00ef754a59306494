from collections.abc import Iterable

import pytest

from model_store.cluster_names import ClusterNames, Heir, Names
from model_store.object_store import MemoryStore
from model_store.registry import Registry
from producer.errors import BundleInvalid
from tests.tiny_model import TinyBundle, exchange_manifest
from training.run_outcome import RunOutcome
from training.run_record import RunRecord


class Slow(ClusterNames):
    """Somebody exchanges the version's manifest while names are handed on."""

    def inherit(self, heirs: Iterable[Heir]) -> Names:
        exchange_manifest(self._store)
        return super().inherit(heirs)


def test_a_manifest_exchanged_after_a_run_has_read_it_is_not_promoted(
    store: MemoryStore, registry: Registry, tiny_bundle: TinyBundle
) -> None:
    target = registry.publish(*tiny_bundle)
    record = RunRecord(collection="default", slot="s", version=target.version, promote=True)

    with pytest.raises(BundleInvalid, match="is not the one that was promoted"):
        RunOutcome(store, registry, Slow(store, "default")).carry_out(record)

    assert registry.alias("champion") is None
