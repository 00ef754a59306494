"""From what a person names (a folder, an array, a collection's ledger) to a corpus."""

import contextlib
from pathlib import Path

from console.store import Connection
from model_store.compaction import tombstones
from model_store.images import ImageSource
from model_store.ledger import Ledger
from model_store.s3 import S3Store
from producer.errors import TrainingFailed
from training.corpus import Corpus
from training.dataset import from_encoded, from_folder, from_npy
from training.near_duplicates import NearDuplicates
from training.progress import Progress
from training.settings import Settings
from training.snapshot import choose, read_originals, references


def corpus_of_path(path: Path, settings: Settings, workdir: Path, progress: Progress) -> Corpus:
    """Read a folder of pictures or an `.npy` of (N, H, W, 3) uint8.

    Raises:
        ConfigurationError: there is no such thing, or it is not that.
        TrainingFailed: no picture in it can be decoded.
    """
    progress.stage("read")
    preprocess = settings.training.preprocess
    if path.suffix == ".npy":
        return from_npy(path, preprocess, workdir, on_progress=progress.advance)
    return from_folder(path, preprocess, settings.decode, workdir, on_progress=progress.advance)


def corpus_of_ledger(
    conn: Connection, collection: str, settings: Settings, workdir: Path, progress: Progress
) -> Corpus:
    """Read again the originals that a collection's ledger names.

    Raises:
        TrainingFailed: the ledger names none that may be used.
    """
    training = settings.training
    erased = tombstones(conn.store, collection)
    refs = references(choose(Ledger(conn.store, collection), erased, training.max_images, training.snapshot))
    if not refs:
        raise TrainingFailed(
            f"the ledger of {collection} names no usable picture yet: submit some, or train on a folder"
        )
    progress.stage("read", len(refs))
    with contextlib.ExitStack() as stack:
        stores = {bucket: S3Store(bucket, settings.store) for bucket in settings.store.allowed_buckets}
        for store in stores.values():
            stack.callback(store.close)
        return from_encoded(
            read_originals(ImageSource(stores, settings.training.max_image_bytes), refs),
            settings.training.preprocess,
            settings.decode,
            workdir,
            source=f"the ledger of {collection}",
            total=len(refs),
            on_progress=progress.advance,
            near_duplicates=NearDuplicates() if training.snapshot.near_duplicates else None,
        )
