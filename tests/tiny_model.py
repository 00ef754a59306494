"""A model small enough to be made anew by a test: random weights, PCA and KMeans on 60 pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray

from model_store.architecture import Architecture
from model_store.autoencoder import Decoder, Encoder
from model_store.bundle_files import MODEL_CARD, PROBE_TOLERANCE, listed
from model_store.clusterer import Clusterer
from model_store.encoders import new_encoder
from model_store.layout import MANIFEST, Layout
from model_store.manifest import Manifest, Snapshot, libraries
from model_store.object_store import ObjectStore
from model_store.predictor import Predictor
from model_store.preprocess import Preprocess
from training.cluster import fit_clusterer
from training.cluster_settings import ClusterSettings
from training.fit import embed
from training.identity import Identity, Matched
from training.pack import name_clusters, pack

ARCHITECTURE = Architecture(widths=(8, 16), embedding_dim=12)
N_CLUSTERS = 3
N_PICTURES = 60
VERSION = "20260101-000000-tiny00"

TinyBundle = tuple[Manifest, Mapping[str, bytes]]


@dataclass(frozen=True)
class TinyModel:
    """The parts of a model, and the pixels (N, 32, 32, 3) its clusters were fitted on."""

    encoder: Encoder
    decoder: Decoder
    clusterer: Clusterer
    pixels: NDArray[np.uint8]


def tiny_pixels(n: int, seed: int = 0) -> NDArray[np.uint8]:
    """Draw n pictures (n, 32, 32, 3): noise with one bright band, whose place and colour differ by kind."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 80, (n, 32, 32, 3), dtype=np.uint8)
    for row in range(n):
        kind = row % N_CLUSTERS
        pixels[row, 10 * kind : 10 * kind + 12, :, kind] += 150
    return pixels


def tiny_model(seed: int = 0, n_clusters: int = N_CLUSTERS, n_components: int = 6) -> TinyModel:
    """Make a model: the same seed, the same numbers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder, decoder = new_encoder(ARCHITECTURE).eval(), Decoder(ARCHITECTURE).eval()
    pixels = tiny_pixels(N_PICTURES, seed)
    embeddings = embed(encoder, pixels)  # (N, D)
    settings = ClusterSettings(n_components=n_components, n_init=2).model_copy(
        update={"n_clusters": n_clusters}  # one too: models from before it was refused have it
    )
    clusterer = fit_clusterer(embeddings[:40], embeddings[40:], settings, random_state=seed)
    return TinyModel(encoder, decoder, clusterer, pixels)


def make_tiny_bundle(seed: int = 0, *, version: str = VERSION) -> TinyBundle:
    """Pack a model into a bundle: (manifest, files), the files without `manifest.json`."""
    model = tiny_model(seed)
    projections = model.clusterer.project(embed(model.encoder, model.pixels))
    names = [f"{row}.png" for row in range(N_PICTURES)]
    matched = Matched(tuple(Identity(f"c_000{k}") for k in range(N_CLUSTERS)))
    files = pack(
        encoder=model.encoder,
        decoder=model.decoder,
        clusterer=model.clusterer,
        predictor=Predictor(model.encoder, model.clusterer, "cpu"),
        pixels=model.pixels,
        projections=projections,
        clusters=name_clusters(matched, model.clusterer.assign(projections), names),
        names=names,
    )
    files[MODEL_CARD] = b"# A tiny model\n"
    manifest = Manifest(
        version=version,
        collection="default",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        recipe="pixel",
        architecture=ARCHITECTURE,
        preprocess=Preprocess(),
        embedding_dim=ARCHITECTURE.embedding_dim,
        n_components=len(model.clusterer.components),
        n_clusters=N_CLUSTERS,
        random_state=seed,
        libraries=libraries(),
        snapshot=Snapshot(source="folder", digest="0" * 64, n_images=N_PICTURES),
        metrics={},
        probe_tolerance=PROBE_TOLERANCE,
        files={},
    )
    return described(manifest, files)


def described(manifest: Manifest, files: Mapping[str, bytes]) -> TinyBundle:
    """Let the manifest list these files, so that their digests are right whatever is in them."""
    return manifest.model_copy(update={"files": listed(files)}), MappingProxyType(dict(files))


def exchange_manifest(store: ObjectStore) -> None:
    """Put another manifest in the place of the tiny bundle's."""
    key = Layout("default").model(VERSION, MANIFEST)
    store.put(key, store.get(key).data.replace(b'"n_images": 60', b'"n_images": 61'))
