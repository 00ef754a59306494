"""From what a person names (a folder, an array, a collection's ledger) to a corpus."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from console.store import Connection
from model_store.images import ImageSource
from model_store.ledger import Ledger
from model_store.preprocess import Preprocess
from model_store.s3 import S3Store
from model_store.tombstones import Tombstones
from producer.errors import TrainingFailed
from training.corpus import Corpus
from training.dataset import from_encoded, from_folder, from_npy
from training.near_duplicates import NearDuplicates
from training.progress import Progress
from training.settings import Settings
from training.snapshot import choose, read_originals, references, span_of


def corpus_of_path(
    path: Path, settings: Settings, workdir: Path, progress: Progress, preprocess: Preprocess | None = None
) -> Corpus:
    """Read a folder of pictures or an `.npy` of (N, H, W, 3) uint8.

    Raises:
        ConfigurationError: there is no such thing, or it is not that.
        TrainingFailed: no picture in it can be decoded.
    """
    progress.stage("read")
    preprocess = preprocess or settings.training.preprocess
    if path.suffix == ".npy":
        return from_npy(path, preprocess, workdir, on_progress=progress.advance)
    return from_folder(path, preprocess, settings.decode, workdir, on_progress=progress.advance)


def corpus_of_ledger(
    conn: Connection,
    collection: str,
    settings: Settings,
    workdir: Path,
    progress: Progress,
    preprocess: Preprocess | None = None,
) -> Corpus:
    """Read again the originals that a collection's ledger names.

    Raises:
        TrainingFailed: the ledger names none that may be used.
    """
    chosen = _chosen(conn, collection, settings)
    refs = references(chosen)
    progress.stage("read", len(refs))
    with _uploads(settings) as images:
        corpus = from_encoded(
            read_originals(images, refs),
            preprocess or settings.training.preprocess,
            settings.decode,
            workdir,
            source=f"the ledger of {collection}",
            total=len(refs),
            on_progress=progress.advance,
            near_duplicates=NearDuplicates(workdir) if settings.training.snapshot.near_duplicates else None,
        )
    return replace(corpus, span=span_of(chosen))


@contextlib.contextmanager
def originals_of_ledger(
    conn: Connection, collection: str, settings: Settings, at_most: int
) -> Iterator[Iterator[tuple[str, bytes]]]:
    """Open a stream of (image id, file) of pictures that a collection's ledger names; a fixed sample.

    Raises:
        TrainingFailed: the ledger names none that may be used.
    """
    refs = references(_chosen(conn, collection, settings, at_most))
    with _uploads(settings) as images:
        yield read_originals(images, refs)


def _chosen(conn: Connection, collection: str, settings: Settings, at_most: int | None = None) -> pa.Table:
    training = settings.training
    erased = Tombstones(conn.store, collection).now()
    ledger, at_most = Ledger(conn.store, collection), at_most or training.max_images
    chosen = choose(ledger, erased, at_most, training.snapshot)
    if not len(chosen):
        raise TrainingFailed(
            f"the ledger of {collection} names no usable picture yet: submit some, or train on a folder"
        )
    return chosen


@contextlib.contextmanager
def _uploads(settings: Settings) -> Iterator[ImageSource]:
    with contextlib.ExitStack() as stack:
        stores = {bucket: S3Store(bucket, settings.store) for bucket in settings.store.allowed_buckets}
        for store in stores.values():
            stack.callback(store.close)
        yield ImageSource(stores, settings.training.max_image_bytes)
