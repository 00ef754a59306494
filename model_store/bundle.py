"""A published model in memory: loaded only if its files are whole, serving only if it answers its probe.

What the files are: `bundle_files.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import safetensors.numpy
import safetensors.torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import nn

from model_store.autoencoder import Decoder
from model_store.bundle_files import (
    CLUSTERS,
    DECODER,
    ENCODER,
    PROBE,
    SERVING_FILES,
    ClusterEntry,
    ClusterFile,
)
from model_store.clusterer import KMEANS_FILE, PCA_FILE, Clusterer
from model_store.encoders import new_encoder
from model_store.manifest import Manifest
from model_store.predictor import Prediction, Predictor
from producer.errors import BundleInvalid


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
        encoder = new_encoder(manifest.architecture)
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
    if len({entry.id for entry in named.clusters}) != len(named.clusters):
        raise BundleInvalid(f"{CLUSTERS} of version {manifest.version} gives two centroids one id")
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
    checked = manifest.verify(DECODER, data)
    try:
        decoder.load_state_dict(safetensors.torch.load(checked))
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise BundleInvalid(f"{DECODER} of version {manifest.version} cannot be built: {error}") from error
    return decoder.eval()


def _probe(bundle: Bundle, probe: Mapping[str, NDArray[np.float32]]) -> None:
    try:
        answer = bundle.predict(probe["pixels"].astype(np.uint8))
        off = {
            name: float(np.abs(getattr(answer, name) - probe[name]).max())
            for name in ("projections", "distances")
        }
    except (KeyError, ValueError) as error:
        raise BundleInvalid(
            f"version {bundle.manifest.version} cannot answer its probe: {type(error).__name__}: {error}"
        ) from error
    for name, worst in off.items():
        if not worst <= bundle.manifest.probe_tolerance:  # not <=: NaN must fail too
            raise BundleInvalid(
                f"version {bundle.manifest.version} fails its probe: {name} are off by {worst:.2g}, "
                f"allowed is {bundle.manifest.probe_tolerance:.2g}"
            )
