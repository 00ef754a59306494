import json
import os
import signal
import subprocess
import sys

import pytest

from model_store.object_store import Get, StoredObject
from model_store.results import Results
from producer.broker import redis_client
from producer.client import Producer
from producer.contracts import ClassifyImages, ImageRef
from tests.system.faults.report import FaultReport
from tests.system.running_platform import Platform, picture, wait_until
from tests.system.shoal_command import Shoal


@pytest.fixture
def shoal(platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shoal:
    return Shoal(platform, monkeypatch, capsys)


def options(platform: Platform) -> tuple[str, ...]:
    """Sweep this test's uploads, named as the platform of the tests names them."""
    return "--collection", platform.collection, "--prefix", f"{platform.collection}/", "--image-id", "key"


def waiting(platform: Platform) -> list[str]:
    """Name the pictures whose messages wait in the bulk lane."""
    with redis_client(platform.broker) as client:
        letters = [json.loads(letter) for letter in client.lrange("bulk", 0, -1)]
    messages = [json.loads(letter["body"])[1] for letter in letters]
    return [image["image_id"] for message in messages for image in message["images"]]


def ids(refs: list[ImageRef]) -> list[str]:
    return sorted(ref.image_id for ref in refs)


def test_exactly_the_uploads_without_a_result_are_submitted(platform: Platform, shoal: Shoal) -> None:
    platform.promote_tiny_model()
    refs = platform.upload_kinds("some", 40)
    own = ImageRef(image_id="the-platforms-own-id", bucket=refs[0].bucket, key=refs[0].key)
    odd = platform.upload(f"{platform.collection}/some/text", b"no picture")  # answered: rejected
    with platform.running("worker", "worker ready"):
        platform.results([own, odd, *refs[1:25]], platform.submit([own, odd, *refs[1:25]]))
    dry = shoal.json("sweep", *options(platform), "--dry-run")
    assert waiting(platform) == []
    done = shoal.json("sweep", *options(platform))
    for counted in (dry, done):
        assert (counted["seen"], counted["answered"], counted["submitted"]) == (41, 26, 15)
    assert sorted(waiting(platform)) == ids(refs[25:])


def test_a_result_counts_where_the_ledger_knows_nothing(platform: Platform, shoal: Shoal) -> None:
    refs = platform.upload_kinds("results", 3)
    platform.store.put(f"{platform.collection}/results/{refs[0].image_id[:2]}/{refs[0].image_id}.json", b"{}")
    assert shoal.json("sweep", *options(platform))["submitted"] == 2
    assert sorted(waiting(platform)) == ids(refs[1:])


def test_a_flush_with_messages_waiting_loses_nothing_once_swept(platform: Platform, shoal: Shoal) -> None:
    platform.promote_tiny_model()
    refs = platform.upload_kinds("flushed", 240)
    with (
        platform.running("worker", "worker ready"),
        Producer(platform.broker) as producer,
        redis_client(platform.broker) as client,
    ):
        for at in range(0, len(refs), 6):  # over one connection: faster than the worker answers
            images = tuple(refs[at : at + 6])
            producer.send(ClassifyImages(collection=platform.collection, images=images))
        client.flushdb()
    swept = shoal.json("sweep", *options(platform))
    assert swept["answered"] + swept["submitted"] == 240
    assert swept["submitted"] > 0, "everything was done before the flush: it shows nothing"
    with platform.running("worker", "worker ready"):
        assert len(platform.results(refs, patience_s=60)) == 240
    report = FaultReport("Redis flushed in mid-run, then `shoal sweep`", submitted=240, results=240)
    report.faults = {"FLUSHDB": 1}
    report.say()


def test_a_killed_sweep_goes_on_where_it_stopped(platform: Platform, shoal: Shoal) -> None:
    keys = broken_off(platform)
    again = shoal.json("sweep", *options(platform))
    assert (again["seen"], again["submitted"]) == (2_300, 2_300)
    submitted = waiting(platform)
    assert set(submitted) == {key.replace("/", "_") for key in keys}
    assert len(submitted) < 2 * 2_300, "it went on, not from the start"


def broken_off(platform: Platform) -> list[str]:
    """Upload 2,300 pictures and kill a sweep of them after a page or two; gives their keys."""
    data = picture(0, 0)
    keys = [f"{platform.collection}/many/{n:05}.png" for n in range(2_300)]
    platform.uploads.put_many(dict.fromkeys(keys, data))
    command = [sys.executable, "-m", "console.cli", "sweep", *options(platform)]
    with subprocess.Popen(command, env=platform.environment(), stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: bool(records(platform)) or process.poll() is not None, 60, "a page was done")
        os.kill(process.pid, signal.SIGKILL)
    (record,) = records(platform)
    assert not record["done"]
    return keys


def test_a_broken_off_sweep_begins_anew_if_redis_lost_what_it_had_submitted(
    platform: Platform, shoal: Shoal
) -> None:
    keys = broken_off(platform)
    with redis_client(platform.broker) as client:
        client.flushdb()
    shoal.json("sweep", *options(platform))
    assert set(waiting(platform)) == {key.replace("/", "_") for key in keys}


def test_a_sweep_broken_off_long_ago_begins_anew(platform: Platform, shoal: Shoal) -> None:
    broken_off(platform)
    (info,) = platform.store.list(f"{platform.collection}/sweeps/")
    (record,) = records(platform)
    long_ago = {**record, "updated_at": "2026-01-01T00:00:00Z"}
    platform.store.put(info.key, json.dumps(long_ago).encode())
    assert shoal.json("sweep", *options(platform))["seen"] == 2_300
    assert len(waiting(platform)) > 2_300, "what was submitted before the break was submitted again"


def records(platform: Platform) -> list[dict[str, object]]:
    gets = [Get(info.key) for info in platform.store.list(f"{platform.collection}/sweeps/")]
    found = [item for _, item in platform.store.get_many(gets)]
    return [json.loads(item.data) for item in found if isinstance(item, StoredObject)]


def test_a_full_lane_is_waited_for_until_workers_make_room(
    platform: Platform, shoal: Shoal, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.promote_tiny_model()
    refs = platform.upload_kinds("full", 600)
    monkeypatch.setenv("SHOAL_BROKER__MAX_QUEUE_DEPTH", "1")
    with platform.running("worker", "worker ready"):
        assert shoal.json("sweep", *options(platform))["submitted"] == 600
        assert len(platform.results(refs, patience_s=60)) == 600
    assert len(list(Results(platform.store, platform.collection).get_many(ids(refs)))) == 600


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--since", "yesterday"), "--since is a time"),
        (("--image-id", "magic"), "hash, stem, name, key"),
        (("--lane", "fast"), "interactive, bulk"),
        (("--bucket", "elsewhere"), "workers may read uploads, not elsewhere"),
        (("--collection", "bad/name"), "no name for a collection"),
    ],
)
def test_a_mistake_is_said_and_nothing_is_swept(shoal: Shoal, arguments: tuple[str, ...], said: str) -> None:
    assert said in shoal("sweep", *arguments, status=1)


def test_only_uploads_since_a_time_are_swept(platform: Platform, shoal: Shoal) -> None:
    platform.upload_kinds("since", 3)
    assert shoal.json("sweep", *options(platform), "--since", "2h")["submitted"] == 3
    later = shoal.json("sweep", *options(platform), "--since", "2099-01-01T00:00+02:00")
    assert (later["older"], later["submitted"]) == (3, 0)
