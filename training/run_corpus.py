"""What one run learns from: chosen once, kept beside its record while it runs, read from the uploads."""

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from model_store.erasure import Erasure
from model_store.images import ImageSource
from model_store.layout import Layout
from model_store.ledger import Ledger
from model_store.object_store import ObjectStore
from model_store.preprocess import Preprocess
from model_store.tombstones import Tombstones
from producer.contracts import ImageRef
from producer.errors import ObjectNotFound
from training.corpus import Corpus
from training.dataset import from_encoded
from training.near_duplicates import NearDuplicates
from training.progress import Progress
from training.settings import Settings
from training.snapshot import choose, read_originals, references, span_of

KEPT_AS: Final = "corpus.parquet"


class RunCorpus:
    """The pictures of one run."""

    def __init__(
        self, store: ObjectStore, collection: str, slot: str, images: ImageSource, settings: Settings
    ) -> None:
        self._store = store
        self._collection = collection
        self._key = Layout(collection).run_file(slot, KEPT_AS)
        self._images = images
        self._settings = settings
        self._span: tuple[datetime, datetime] | None = None

    def refs(self) -> list[ImageRef]:
        """Choose what to learn from; the attempt after this one gets the same, less what was erased."""
        training = self._settings.training
        tombstones = Tombstones(self._store, self._collection)
        erased = tombstones.now()
        try:
            kept = pq.read_table(io.BytesIO(self._store.get(self._key).data))
        except ObjectNotFound:
            ledger = Ledger(self._store, self._collection)
            kept = choose(ledger, erased, training.max_images, training.snapshot)
            buffer = io.BytesIO()
            pq.write_table(kept, buffer, compression="zstd")
            self._store.put(self._key, buffer.getvalue())
            late = tombstones.now() - erased
            if late:
                Erasure(self._store, self._collection, {}).take_out_of(self._key, late)
                erased |= late
        self._span = span_of(kept)
        return [ref for ref in references(kept) if ref.image_id not in erased]

    def read(
        self,
        refs: Sequence[ImageRef],
        preprocess: Preprocess,
        workdir: Path,
        progress: Progress,
        *,
        leave_out_alike: bool = True,
    ) -> Corpus:
        """Fetch and decode the originals that still exist, near duplicates once if they are left out.

        Raises:
            StoreUnavailable: an upload cannot be read for now.
            TrainingFailed: not one of them is a picture.
        """
        alike = leave_out_alike and self._settings.training.snapshot.near_duplicates
        progress.stage("read", len(refs))
        corpus = from_encoded(
            read_originals(self._images, refs),
            preprocess,
            self._settings.decode,
            workdir,
            source="the ledger",
            total=len(refs),
            min_pictures=1,
            on_progress=progress.advance,
            near_duplicates=NearDuplicates(workdir) if alike else None,
        )
        return replace(corpus, span=self._span)

    def clear(self) -> None:
        """Forget what was chosen: the run has ended."""
        self._store.delete(self._key)
