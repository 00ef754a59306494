"""What the clusters of all published versions are called, and what became of which."""

from collections.abc import Iterator
from typing import NamedTuple

import structlog

from model_store.bundle_files import CLUSTERS, ClusterFile
from model_store.layout import Layout
from model_store.object_store import Get, ObjectStore, StoredObject
from model_store.unfinished import completes

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
        """Read those of whole versions, oldest first; what this Shoal cannot read is passed over."""
        yield from self._read(whole=True)

    def _read(self, *, whole: bool) -> Iterator[VersionClusters]:
        found = list(self._store.list(self._layout.models()))
        complete = {info.key.rpartition("/")[0] for info in found if completes(info)}
        keys = [
            key
            for key in (info.key for info in found)
            if key.endswith("/" + CLUSTERS) and (not whole or key.rpartition("/")[0] in complete)
        ]
        files: dict[int, ClusterFile] = {}
        for position, answer in self._store.get_many(Get(key) for key in keys):
            if not isinstance(answer, StoredObject):
                raise answer
            try:
                files[position] = ClusterFile.from_bytes(answer.data)
            except ValueError as error:
                log.warning("a version is passed over", key=keys[position], reason=str(error))
        for position in sorted(files):
            yield VersionClusters(keys[position].split("/")[-2], files[position])

    def ids(self) -> frozenset[str]:
        """List the ids that are taken: of every cluster there ever was, of half-written versions too."""
        return frozenset(
            cluster_id
            for _, file in self._read(whole=False)
            for cluster_id in (*file.retired, *(entry.id for entry in file.clusters))
        )
