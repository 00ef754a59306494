"""`shoal evaluate`: a bundle against labelled pictures."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from console.output import print_json, table
from console.store import connection
from model_store.counted import counted
from model_store.layout import MANIFEST
from model_store.manifest import sha256
from producer.errors import BundleInvalid, ConfigurationError
from training.cluster_settings import ClusterSettings
from training.dataset import from_npy
from training.work_folder import work_folder

if TYPE_CHECKING:
    from model_store.bundle import Bundle
    from training.evaluate import Agreement

BATCH = 512


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


def evaluate(
    images: Annotated[Path, typer.Option(help=".npy of (N, H, W, 3) uint8")],
    labels: Annotated[Path, typer.Option(help=".npy of (N,), any type; only for measuring")],
    bundle: Annotated[
        str | None, typer.Option(help="version, or a bundle's folder; default: the champion")
    ] = None,
    refit: Annotated[bool, typer.Option(help="fit PCA and KMeans anew on these pictures")] = False,
    n_clusters: Annotated[
        int | None, typer.Option(min=1, help="with --refit; default: as many as there are labels")
    ] = None,
    collection: Annotated[str, typer.Option(help="whose models")] = "default",
    seed: Annotated[int, typer.Option(help="of the refit")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Measure clustering accuracy (Hungarian), NMI and ARI of a bundle."""
    from training.evaluate import agreement  # noqa: PLC0415 - brings scikit-learn, which --help does without

    if n_clusters is not None and not refit:
        raise ConfigurationError(
            "--n-clusters goes with --refit: without it the bundle's own clusters are used"
        )
    model = _bundle(bundle, collection)
    truth = _labels(labels)
    with work_folder(None) as workdir:
        pixels = from_npy(images, model.manifest.preprocess, workdir).pixels
        if len(pixels) != len(truth):
            raise ConfigurationError(
                f"{images} has {counted(len(pixels), 'picture')}, {labels} has {counted(len(truth), 'label')}"
            )
        if refit:
            clusters = _refitted(model, pixels, n_clusters or len(np.unique(truth)), seed)
        else:
            clusters = np.concatenate([model.predict(part).nearest[:, 0] for part in _batches(pixels)])
    _say(agreement(truth, clusters), model.manifest.version, as_json)


def _bundle(wanted: str | None, collection: str) -> "Bundle":
    from model_store.bundle import load_bundle  # noqa: PLC0415 - brings torch, likewise
    from model_store.predictor import best_device  # noqa: PLC0415

    device = best_device()
    if wanted is not None and Path(wanted).is_dir():
        files = {file.name: file.read_bytes() for file in Path(wanted).iterdir() if file.is_file()}
        if MANIFEST not in files:
            raise BundleInvalid(f"{wanted} has no {MANIFEST}: it is not a bundle")
        return load_bundle(files[MANIFEST], files, sha256(files[MANIFEST]), device)
    with connection() as conn:
        registry = conn.registry(collection)
        target = registry.current() if wanted is None else registry.manifest(wanted)[1]
        return registry.load(target, device)


def _labels(path: Path) -> NDArray[np.generic]:
    try:
        labels: NDArray[np.generic] = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} is not an .npy of labels: {error}") from error
    if labels.ndim != 1:
        raise ConfigurationError(f"labels have shape (N,), {path} has {labels.shape}")
    return labels


def _refitted(model: "Bundle", pixels: NDArray[np.uint8], n_clusters: int, seed: int) -> NDArray[np.int64]:
    from training.cluster import fit_draft  # noqa: PLC0415

    embeddings = np.concatenate([model.predictor.embed(part) for part in _batches(pixels)])
    settings = ClusterSettings(n_components=model.manifest.n_components).model_copy(
        update={"n_clusters": n_clusters}  # one too: pictures of one kind may be measured
    )
    clusterer = fit_draft(embeddings, settings, seed)
    return clusterer.assign(clusterer.project(embeddings)).indices


def _batches(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [np.array(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)]


def _say(found: "Agreement", version: str, as_json: bool) -> None:
    if as_json:
        print_json({**asdict(found), "version": version})
        return
    rows = [("accuracy", f"{found.accuracy:.4f}"), ("NMI", f"{found.nmi:.4f}"), ("ARI", f"{found.ari:.4f}")]
    table(f"model {version} on {counted(found.n, 'labelled picture')}", ("figure", "value"), rows)
