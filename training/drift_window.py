"""The latest pictures of the ledger as one model saw them, beside what its bundle says is usual."""

from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import safetensors.numpy
from numpy.typing import NDArray

from model_store.bundle_files import REFERENCE
from model_store.clusterer import KMEANS_FILE, PCA_FILE, Clusterer
from model_store.layout import Layout
from model_store.ledger import SCHEMA, Ledger
from model_store.object_store import ObjectStore
from model_store.registry import Alias, Registry
from producer.errors import ObjectNotFound
from training.drift import Alarm, DriftSettings, Reading, Reference, Window, read, step

COLUMNS: Final = ("image_id", "status", "projection", "residual", "model_version", "classified_at")
A_DAY: Final = timedelta(days=1)  # a message may be older than the model that did it


class DriftWatch:
    """Reads the drift of one collection, and keeps the alarm in `drift.json`."""

    def __init__(self, store: ObjectStore, registry: Registry, settings: DriftSettings) -> None:
        self._store = store
        self._key = Layout(registry.collection).drift()
        self._registry = registry
        self._ledger = Ledger(store, registry.collection)
        self._settings = settings
        self._model: tuple[str, Clusterer, Reference] | None = None

    def reading(self, champion: Alias) -> Reading | None:
        """Look at the latest pictures; None while the champion has seen fewer than a window of them.

        Raises:
            StoreUnavailable, DayChanged: not now; try again.
            BundleInvalid: the champion's files are not what they should be.
        """
        rows = self._latest(champion)
        if len(rows) < self._settings.window_images:
            return None
        clusterer, reference = self._known(champion.version)
        p = len(clusterer.components)
        flat = rows["projection"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        projections = np.asarray(flat, np.float32).reshape(-1, p)
        window = Window(
            projections=projections,
            clusters=clusterer.assign(projections).indices,
            unknown=np.asarray(pc.equal(rows["status"], "unknown").to_numpy(zero_copy_only=False), bool),
            residuals=np.asarray(rows["residual"].to_numpy(zero_copy_only=False), np.float32),
        )
        return read(champion.version, reference, window, self._settings)

    def alarm(self) -> Alarm | None:
        """Give what was read last; None if nothing was."""
        try:
            return Alarm.model_validate_json(self._store.get(self._key).data)
        except ObjectNotFound:
            return None

    def note(self, reading: Reading) -> Alarm:
        """Let the alarm rise or fall by a reading, and keep it."""
        alarm = step(self.alarm(), reading, datetime.now(UTC), self._settings)
        self._store.put(self._key, alarm.model_dump_json(indent=1).encode())
        return alarm

    def _latest(self, champion: Alias) -> pa.Table:
        found, n = [], 0
        days = list(self._ledger.days(since=(champion.moved_at - A_DAY).date()))
        for table in (table for day in reversed(days) for table in day.newest_first(COLUMNS)):
            mine = pc.and_(
                pc.equal(table["model_version"], champion.version), pc.is_valid(table["projection"])
            )
            found.append(table.filter(mine))
            n += len(found[-1])
            if n >= self._settings.window_images:
                break
        rows = pa.concat_tables([SCHEMA.empty_table().select(COLUMNS), *found])
        newest = rows.sort_by([("classified_at", "descending"), ("image_id", "ascending")])
        return newest.slice(0, self._settings.window_images)

    def _known(self, version: str) -> tuple[Clusterer, Reference]:
        if self._model is None or self._model[0] != version:
            files = {name: self._registry.file(version, name) for name in (PCA_FILE, KMEANS_FILE, REFERENCE)}
            n_images = self._registry.manifest(version)[0].snapshot.n_images
            clusterer = Clusterer.from_files(files[PCA_FILE], files[KMEANS_FILE])
            self._model = version, clusterer, usual(files[REFERENCE], n_images)
        return self._model[1:]


def usual(reference: bytes, n_images: int) -> Reference:
    """Read what is usual from a bundle's `reference.safetensors`; it was trained on `n_images` pictures."""
    arrays = safetensors.numpy.load(reference)
    none: NDArray[np.float32] = np.zeros(0, np.float32)
    return Reference(
        shares=arrays["shares"].astype(np.float64),
        n_images=n_images,
        projections=arrays["projections"],
        residuals=arrays.get("residuals", none),  # bundles before 0.2 have none
        unknown=arrays.get("unknown", none) > 0,
    )
