"""What becomes of the version of a run once its verdict stands in the record."""

from model_store.bundle_files import CLUSTERS, REFERENCE, ClusterFile
from model_store.cluster_names import ClusterNames, heirs
from model_store.late_erasures import heed_erasures
from model_store.object_store import ObjectStore
from model_store.registry import Registry
from producer.errors import BundleInvalid, ObjectNotFound, PreconditionFailed
from training.run_record import RunRecord, State


class RunOutcome:
    """Promotes a version, or makes it challenger; tells which of both was done."""

    def __init__(self, store: ObjectStore, registry: Registry, names: ClusterNames) -> None:
        self._store = store
        self._registry = registry
        self._names = names

    def is_published(self, version: str) -> bool:
        """Tell whether a version is there, whole."""
        try:
            self._registry.manifest(version)
        except ObjectNotFound:
            return False
        return True

    def became(self, record: RunRecord) -> State | None:
        """Tell what the version of a run was made, if its verdict was carried out."""
        if record.version is None:
            return None
        if record.promote:
            moves = {alias.version for alias in self._registry.moves()}
            return "promoted" if record.version in moves else None
        challenger = self._registry.alias("challenger")
        return "challenger" if challenger is not None and challenger.version == record.version else None

    def heed_erasures(self, version: str) -> None:
        """Complete what publishing does for pictures erased meanwhile, if its trainer died before that."""
        try:
            reference = self._registry.file(version, REFERENCE)
        except (ObjectNotFound, BundleInvalid):  # never published
            reference = None
        heed_erasures(self._store, self._registry.collection, version, reference)

    def carry_out(self, record: RunRecord) -> dict[str, object]:
        """Carry out the verdict in the record; doing it twice, or two doing it, does it once.

        Args:
            record: as its holder has just written it, so that the run is still its own.

        Returns:
            What to end the record with: its state, and the reason if that is another than the verdict's.
        """
        _, target = self._registry.manifest(str(record.version))
        self.heed_erasures(target.version)
        if not record.promote:
            self._registry.set_challenger(target, reason=record.reason)
            return {"state": "challenger"}
        clusters = ClusterFile.from_bytes(self._registry.file(target, CLUSTERS)).clusters
        self._names.inherit(heirs(clusters))
        try:
            self._registry.promote(target, reason=f"run {record.slot}", expected_generation=record.generation)
        except PreconditionFailed as error:
            champion = self._registry.current()
            before = champion.previous.version if champion.previous else None
            if target.version not in (champion.version, before):  # else an earlier attempt has promoted it
                self._registry.set_challenger(target, reason=str(error))
                return {"state": "challenger", "reason": str(error)}
        return {"state": "promoted"}
