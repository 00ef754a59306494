"""Reports in the store: `runs/{slot}/report.html` and its PNGs, beside the run's record if it has one.

They show pictures, and each file names those that it shows: an erasure drops it whole. What was erased while
a report was made is looked for once more when it lies there. The newest `kept` reports stay, since an erasure
reads them all; `shoal models report` makes an older one anew.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import structlog

from model_store.erasure import Erasure
from model_store.layout import Layout
from model_store.object_store import ObjectStore
from model_store.tombstones import Tombstones
from producer.errors import ObjectNotFound
from training.report.report import PAGE, Report
from training.runs import Runs

log = structlog.get_logger(__name__)

DRAWING: Final = ".png"


class Reports:
    """The reports of one collection."""

    def __init__(self, store: ObjectStore, collection: str) -> None:
        self._store = store
        self._collection = collection
        self._layout = Layout(collection)

    def save(self, slot: str, report: Report, kept: int) -> None:
        """Store a report, its page last, and remove all but the newest `kept`.

        Args:
            slot: of the run; a model that no run made has its version for one.
            report: whole.
            kept: at least 1.
        """
        keys = []
        for name, data in sorted(report.files.items(), key=lambda item: item[0] == PAGE):
            keys.append(self._layout.run_file(slot, name))
            self._store.put(keys[-1], data)
        erased = report.shows & Tombstones(self._store, self._collection).now()
        if erased:
            erasure = Erasure(self._store, self._collection, {})
            for key in keys:
                erasure.take_out_of(key, erased)
        self._prune(kept)

    def read(self, version: str) -> dict[str, bytes]:
        """Give the files of a version's report by name; none if its page is not there (any longer)."""
        prefix = self._layout.run_file(self.slot(version), "")
        names = [
            info.key.removeprefix(prefix)
            for info in self._store.list(prefix)
            if info.key.endswith((PAGE, DRAWING))
        ]
        return dict(self._found(prefix, names)) if PAGE in names else {}

    def slot(self, version: str) -> str:
        """Tell where a version's report belongs: to its run, or to itself if no run made it."""
        runs = Runs(self._store, self._collection).all()
        return next((record.slot for record in runs if record.version == version), version)

    def _found(self, prefix: str, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        for name in names:
            try:
                yield name, self._store.get(prefix + name).data
            except ObjectNotFound:  # erased at this moment
                continue

    def _prune(self, kept: int) -> None:
        files = list(self._store.list(self._layout.runs()))
        pages = sorted((i for i in files if i.key.endswith(f"/{PAGE}")), key=lambda info: info.modified_at)
        for page in pages[:-kept]:
            folder = page.key.removesuffix(PAGE)
            for info in files:
                if info.key.startswith(folder) and info.key.endswith((PAGE, DRAWING)):
                    self._store.delete(info.key)
            log.info("an old report is removed", folder=folder)
