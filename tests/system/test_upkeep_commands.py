import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from threading import Event, Thread

import numpy as np

from model_store.compaction import compact
from model_store.layout import Layout
from model_store.ledger import Ledger
from model_store.registry import Registry
from model_store.tombstones import Tombstones
from producer.contracts import ImageRef, ModelStamp, Result
from producer.ulid import new_ulid
from tests.system.running_platform import Platform


def shoal(platform: Platform, *arguments: str, **environment: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "console.cli", *arguments, "--collection", platform.collection, "--json"],
        env=platform.environment(**environment),
        cwd=platform.workdir,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def classify(platform: Platform, name: str, n: int, days_ago: float, place: np.ndarray, version: str) -> None:
    """Put n pictures, all at one place of PCA space, into the ledger as one message."""
    at = datetime.now(UTC) - timedelta(days=days_ago)
    message_id = new_ulid(at.timestamp())
    refs = [ImageRef(image_id=f"{name}_{i}", bucket="uploads", key=f"{name}/{i}") for i in range(n)]
    results = [
        Result(
            image_id=ref.image_id,
            collection=platform.collection,
            status="assigned",
            message_id=message_id,
            model=ModelStamp(version=version, sha256="0", generation=1),
        )
        for ref in refs
    ]
    Ledger(platform.store, platform.collection).append(message_id, refs, results, [place] * n, [0.5] * n)


def n_rows(platform: Platform) -> int:
    return sum(
        len(table) for table in Ledger(platform.store, platform.collection).tables(["image_id", "projection"])
    )


def test_the_ledger_is_compacted_by_command_without_what_was_erased(platform: Platform) -> None:
    place = np.zeros(8, np.float32)
    for n in range(6):
        classify(platform, f"m{n}", 5, 2, place, "v1")
    classify(platform, "today", 5, 0, place, "v1")
    Tombstones(platform.store, platform.collection).set(["m3_2"], "a request")

    done = shoal(platform, "ledger", "compact")

    assert (done["parts"], done["dropped"]) == (6, 1)
    assert n_rows(platform) == 34
    keys = [info.key for info in platform.store.list(Layout(platform.collection).ledger() + "dt=")]
    assert len(keys) <= 3  # two messages may lie on either side of midnight
    assert shoal(platform, "ledger", "compact")["parts"] == 0


def test_on_a_real_store_a_reader_beside_compactions_and_writers_sees_every_row_once(
    platform: Platform,
) -> None:
    place, stop, seen = np.zeros(8, np.float32), Event(), list[int]()

    def keep_reading() -> None:
        while not stop.is_set():
            seen.append(n_rows(platform))

    for n in range(12):
        classify(platform, f"m{n}", 5, 2, place, "v1")
    reader = Thread(target=keep_reading)
    reader.start()
    for n in range(12, 24):
        compact(platform.store, platform.collection, before=date.max)
        classify(platform, f"m{n}", 5, 2, place, "v1")
    compact(platform.store, platform.collection, before=date.max)
    stop.set()
    reader.join()

    assert seen == sorted(seen)  # rows come, none goes, none comes twice
    assert set(seen) <= set(range(60, 121, 5))
    assert n_rows(platform) == 120


def test_drift_is_told_by_command(platform: Platform) -> None:
    version = platform.promote_tiny_model()
    registry = Registry(platform.store, platform.collection)
    place = registry.load(registry.current(), "cpu").clusterer.centroids[0]
    small = {"SHOAL_TRAINING__DRIFT__WINDOW_IMAGES": "100"}
    assert shoal(platform, "drift", **small)["figures"] is None

    classify(platform, "same", 100, 0, place, version)
    answer = shoal(platform, "drift", **small)

    figures = answer["figures"]
    assert isinstance(figures, dict)
    assert (answer["version"], answer["n_images"], answer["alarm_since"]) == (version, 100, None)
    assert figures["stability"]["level"] > 1  # all in one cluster
    assert set(figures) == {"stability", "shift", "unknown", "residual"}
