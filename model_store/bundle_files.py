"""The files of a published model: their names, their digests, and what `clusters.json` says.

```
manifest.json           sha256 of every file, and all that is described in `manifest`
manifest.sig            optional: Ed25519 over manifest.json, see `signature`
encoder.safetensors     weights
pca.safetensors         mean, components, explained variance
kmeans.safetensors      centroids, counts, distance quantiles, unknown distances; since format 2 what
                        the PCA's residual weighs in them
clusters.json           index -> stable id, lineage; what became of the champion's clusters
reference.safetensors   what drift is measured against: cluster shares, a sample of projections; hashes of the
                        names of the pictures it learnt from
probe.safetensors       inputs with expected outputs
decoder.safetensors     for reconstructions; the worker does not load it
MODEL_CARD.md           for people
course.json             how the training went, in numbers: losses, the choice of K (training/course.py)
```
Written with it, `exemplars.json` is no part of it (`exemplars.py`).
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, TypeAdapter

from model_store.clusterer import KMEANS_FILE, PCA_FILE
from model_store.manifest import FileEntry, Part
from model_store.manifest import sha256 as digest

ENCODER: Final = "encoder.safetensors"
DECODER: Final = "decoder.safetensors"
CLUSTERS: Final = "clusters.json"
REFERENCE: Final = "reference.safetensors"
PROBE: Final = "probe.safetensors"
MODEL_CARD: Final = "MODEL_CARD.md"
EXEMPLARS: Final = "exemplars.json"
SERVING_FILES: Final = (ENCODER, PCA_FILE, KMEANS_FILE, CLUSTERS, PROBE)
PROBE_TOLERANCE: Final = (
    1e-3  # between devices and library versions; unit-length space, so distances are about 1
)

Lineage = Literal["new", "survived", "split", "merged"]


class ClusterEntry(Part):
    """What a centroid is called outside, and of which of the former champion's clusters it is made."""

    index: int
    id: str
    lineage: Lineage = "new"
    parents: tuple[str, ...] = ()
    exemplars: tuple[str, ...] = ()


class ClusterEvent(Part):
    """What became of clusters from the former champion to this model, and in words why it is thought so."""

    kind: Lineage | Literal["died"]
    before: tuple[str, ...]
    after: tuple[str, ...]
    reason: str


class ClusterFile(Part):
    """`clusters.json`. `retired` are ids of earlier models that this one has no longer: never given again."""

    clusters: tuple[ClusterEntry, ...]
    events: tuple[ClusterEvent, ...] = ()
    retired: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """Write the file, without the exemplars: they have one of their own (`exemplars.py`)."""
        return self.model_dump_json(indent=1, exclude={"clusters": {"__all__": {"exemplars"}}}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "ClusterFile":
        """Read the file, or the plain list of clusters that it was until version 0.1.0.

        Raises:
            ValueError: it is neither.
        """
        return _CLUSTER_FILE.validate_json(data)


def _plain_list(found: object) -> object:
    return {"clusters": found} if isinstance(found, list) else found


_CLUSTER_FILE = TypeAdapter(Annotated[ClusterFile, BeforeValidator(_plain_list)])


def listed(files: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """Describe files for a manifest: all but the exemplars, which may change."""
    return {
        name: FileEntry(sha256=digest(data), size_bytes=len(data))
        for name, data in files.items()
        if name != EXEMPLARS
    }
