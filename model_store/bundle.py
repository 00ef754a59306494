"""A published model: files with digests, loaded only if whole, serving only if it answers its probe.

```
manifest.json           sha256 of every file, and all that is described in `manifest`
manifest.sig            optional: Ed25519 over manifest.json, see `signature`
encoder.safetensors     weights
pca.safetensors         mean, components, explained variance
kmeans.safetensors      centroids, counts, distance quantiles, unknown distances
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
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import numpy as np
import safetensors.numpy
import safetensors.torch
from numpy.typing import NDArray
from pydantic import BeforeValidator, TypeAdapter
from safetensors import SafetensorError
from torch import nn

from model_store.autoencoder import Decoder, Encoder
from model_store.clusterer import KMEANS_FILE, PCA_FILE, Clusterer
from model_store.manifest import FileEntry, Manifest, Part
from model_store.manifest import sha256 as digest
from model_store.predictor import Prediction, Predictor
from producer.errors import BundleInvalid

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


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified model on its device."""

    manifest: Manifest
    sha256: str  # of manifest.json
    clusters: tuple[ClusterEntry, ...]
    predictor: Predictor
    clusterer: Clusterer
    retired: tuple[str, ...] = ()  # ids of clusters that earlier models had

    def predict(self, pixels: NDArray[np.uint8]) -> Prediction:
        """Predict for pixels (B, S, S, 3) uint8, decoded with the manifest's `preprocess`."""
        return self.predictor(pixels)


def weights_to_bytes(module: nn.Module) -> bytes:
    """Write a network's weights as safetensors, from wherever they are."""
    return safetensors.torch.save(
        {name: t.detach().cpu().contiguous() for name, t in module.state_dict().items()}
    )


def listed(files: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """Describe files for a manifest: all but the exemplars, which may change."""
    return {
        name: FileEntry(sha256=digest(data), size_bytes=len(data))
        for name, data in files.items()
        if name != EXEMPLARS
    }


def probe_to_bytes(predictor: Predictor, pixels: NDArray[np.uint8]) -> bytes:
    """Record what the model answers to pixels (M, S, S, 3)."""
    expected = predictor(pixels)
    return safetensors.numpy.save(
        {
            "pixels": np.ascontiguousarray(pixels),
            "projections": np.ascontiguousarray(expected.projections),
            "distances": np.ascontiguousarray(expected.distances),
        }
    )


def load_bundle(manifest_bytes: bytes, files: Mapping[str, bytes], sha256: str, device: str) -> Bundle:
    """Verify, build, probe: gives a model that may serve, or none.

    Args:
        manifest_bytes: `manifest.json` as stored.
        files: at least `SERVING_FILES`.
        sha256: digest that the alias or the caller expects of the manifest.
        device: `cpu`, `cuda` or `cuda:N`.

    Raises:
        BundleInvalid: a file is missing, altered or of a newer format, or the probe fails; says which.
    """
    manifest = Manifest.from_bytes(manifest_bytes)
    checked = {name: manifest.verify(name, files.get(name)) for name in SERVING_FILES}
    try:
        clusterer = Clusterer.from_files(checked[PCA_FILE], checked[KMEANS_FILE])
        encoder = Encoder(manifest.architecture)
        encoder.load_state_dict(safetensors.torch.load(checked[ENCODER]))
        named = ClusterFile.from_bytes(checked[CLUSTERS])
        probe = safetensors.numpy.load(checked[PROBE])
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise BundleInvalid(f"version {manifest.version} cannot be built: {error}") from error
    if len(clusterer.mean) != manifest.architecture.embedding_dim:
        raise BundleInvalid(
            f"{PCA_FILE} of version {manifest.version} takes embeddings of {len(clusterer.mean)} numbers, "
            f"its encoder gives {manifest.architecture.embedding_dim}"
        )
    if [entry.index for entry in named.clusters] != list(range(len(clusterer.centroids))):
        raise BundleInvalid(
            f"{CLUSTERS} of version {manifest.version} does not name every centroid once, in order"
        )
    predictor = Predictor(encoder, clusterer, device)
    bundle = Bundle(manifest, sha256, named.clusters, predictor, clusterer, named.retired)
    _probe(bundle, probe)
    return bundle


def load_decoder(manifest: Manifest, data: bytes) -> Decoder:
    """Build the other half of the autoencoder, for reconstructions.

    Raises:
        BundleInvalid: the file is missing or altered.
    """
    decoder = Decoder(manifest.architecture)
    decoder.load_state_dict(safetensors.torch.load(manifest.verify(DECODER, data)))
    return decoder.eval()


def _probe(bundle: Bundle, probe: Mapping[str, NDArray[np.float32]]) -> None:
    answer = bundle.predict(probe["pixels"].astype(np.uint8))
    for name in ("projections", "distances"):
        worst = float(np.abs(getattr(answer, name) - probe[name]).max())
        if not worst <= bundle.manifest.probe_tolerance:  # not <=: NaN must fail too
            raise BundleInvalid(
                f"version {bundle.manifest.version} fails its probe: {name} are off by {worst:.2g}, "
                f"allowed is {bundle.manifest.probe_tolerance:.2g}"
            )
