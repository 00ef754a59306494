"""What the clusters of all published versions are called, and what became of which."""

from collections.abc import Iterator
from typing import NamedTuple

import structlog

from model_store.bundle_files import CLUSTERS, ClusterFile
from model_store.layout import Layout
from model_store.object_store import Get, ObjectStore, StoredObject

log = structlog.get_logger(__name__)


class VersionClusters(NamedTuple):
    """The clusters of one version."""

    version: str
    clusters: ClusterFile


class ClusterHistory:
    """The `clusters.json` of every version of a collection, whether it was ever promoted or not.

    For people and for ids: nothing is verified, as nothing is served from it.
    """

    def __init__(self, store: ObjectStore, collection: str) -> None:
        self._store = store
        self._layout = Layout(collection)

    def versions(self) -> Iterator[VersionClusters]:
        """Read them all, oldest first; what this version of Shoal cannot read is passed over."""
        listed = self._store.list(self._layout.models())
        keys = [info.key for info in listed if info.key.endswith("/" + CLUSTERS)]
        found: dict[int, ClusterFile] = {}
        for position, answer in self._store.get_many(Get(key) for key in keys):
            if not isinstance(answer, StoredObject):
                raise answer
            try:
                found[position] = ClusterFile.from_bytes(answer.data)
            except ValueError as error:
                log.warning("a version is passed over", key=keys[position], reason=str(error))
        for position in sorted(found):
            yield VersionClusters(keys[position].split("/")[-2], found[position])

    def ids(self) -> frozenset[str]:
        """List the ids that are taken: of every cluster there ever was, as far as it is still known."""
        return frozenset(
            cluster_id
            for _, file in self.versions()
            for cluster_id in (*file.retired, *(entry.id for entry in file.clusters))
        )
