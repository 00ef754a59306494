"""Jobs from the command line to the manifest, with real servers and workers."""

import io
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from model_store.job_record import JobManifest
from model_store.jobs import Jobs
from model_store.manifest import sha256
from model_store.results import Results
from producer.broker import lane_depths, redis_client
from producer.contracts import ImageRef
from producer.errors import ObjectNotFound
from tests.system.faults.fleet import fleet
from tests.system.running_platform import ROOT, Platform, picture, wait_until
from tests.system.shoal_command import Shoal

Ask = Callable[..., Any]
WORKER = ("worker", "worker ready")


@pytest.fixture
def ask(platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs a command on this test's collection; gives its JSON."""
    shoal = Shoal(platform, monkeypatch, capsys)
    return lambda *arguments: shoal.json(*arguments, "--collection", platform.collection)


@pytest.fixture
def folder(platform: Platform) -> Path:
    made = platform.workdir / "pictures"
    for i in range(600):
        (made / str(i % 7)).mkdir(parents=True, exist_ok=True)
        (made / str(i % 7) / f"{i}.png").write_bytes(picture(i % 3, i))
    return made


def manifest_csv(platform: Platform, refs: list[ImageRef]) -> Path:
    file = platform.workdir / "manifest.csv"
    file.write_text("key,image_id\n" + "".join(f"{ref.key},{ref.image_id}\n" for ref in refs))
    return file


def rows(platform: Platform, job_id: str) -> list[dict[str, Any]]:
    """Every row of every part, checked against the manifest."""
    manifest = Jobs(platform.store, platform.collection).manifest(job_id)
    found = []
    for part in manifest.parts:
        data = platform.store.get(f"{platform.collection}/jobs/{job_id}/{part.name}").data
        assert sha256(data) == part.sha256
        found += pq.read_table(io.BytesIO(data)).to_pylist()
    return found


def complete(platform: Platform, job_id: str) -> JobManifest | None:
    try:
        return Jobs(platform.store, platform.collection).manifest(job_id)
    except ObjectNotFound:
        return None


def test_a_job_survives_kills_of_the_submitter_and_of_the_worker(platform: Platform, folder: Path) -> None:
    platform.promote_tiny_model()
    bulk = ["submit", "--bulk", str(folder), "--collection", platform.collection, "--job", "j"]
    environment = platform.environment(PYTHONPATH=str(ROOT))
    with fleet(platform, 1) as workers:
        command = [sys.executable, "-m", "console.cli", *bulk]
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as submitter:
            wait_until(lambda: bool(Jobs(platform.store, platform.collection).parts("j")), 120, "a part")
            os.kill(submitter.pid, signal.SIGKILL)
            os.kill(workers.ready()[0].pid, signal.SIGKILL)
        done = platform.shoal(*bulk[:3], "--job", "j", "--wait", "--patience-s", "120")
    assert workers.deaths == 1
    assert (done["state"], done["pictures"], done["messages"]) == ("complete", 600, 3)
    assert done["manifest"]["pictures"] == 600
    assert sum(done["manifest"]["totals"].values()) == 600
    images = Counter(row["image_id"] for row in rows(platform, "j"))
    assert (len(images), set(images.values())) == (600, {1})
    assert {row["status"] for row in rows(platform, "j")} <= {"assigned", "unknown"}


def test_a_job_that_is_done_is_found_by_result_sweep_and_erase_and_not_done_again(
    platform: Platform, ask: Ask
) -> None:
    platform.promote_tiny_model()
    refs = platform.upload_kinds("job", 300)
    file = str(manifest_csv(platform, refs))
    with platform.running(*WORKER):
        done = ask("submit", "--bulk", file, "--wait", "--patience-s", "120")
    job_id = done["job_id"]
    again = ask("submit", "--bulk", file)
    assert (again["job_id"], again["state"], again["messages"]) == (job_id, "complete", 2)
    with redis_client(platform.broker) as client:
        assert lane_depths(client, platform.broker)["bulk"] == 0
    assert list(Results(platform.store, platform.collection).get_many(ref.image_id for ref in refs)) == []

    answer = ask("result", refs[7].image_id)
    assert (answer["image_id"], answer["message_id"]) == (refs[7].image_id, answer["message_id"])
    swept = ask("sweep", "--prefix", f"{platform.collection}/", "--image-id", "key")
    assert (swept["answered"], swept["submitted"]) == (300, 0)
    ask("erase", refs[7].image_id)
    assert ask("erase", "--verify", refs[7].image_id)["named_by"] == []
    shown = ask("jobs", "show", job_id)
    assert shown["manifest"]["totals"]["erased"] == 1
    assert sum(row["image_id"] is None for row in rows(platform, job_id)) == 1


def test_a_single_upload_is_answered_before_a_backlog_of_bulk_ends(platform: Platform, ask: Ask) -> None:
    platform.promote_tiny_model()
    data = picture(0, 0)
    keys = [f"{platform.collection}/many/{n}.png" for n in range(2_000)]
    platform.uploads.put_many(dict.fromkeys(keys, data))
    single = platform.upload(f"{platform.collection}/single.png", picture(1, 1))
    ask("submit", "--bulk", f"s3://{platform.uploads.bucket}/{platform.collection}/many/", "--job", "j")
    with platform.running(*WORKER, SHOAL_WORKER__THREADS="1"):
        wait_until(lambda: bool(Jobs(platform.store, platform.collection).parts("j")), 120, "a part")
        platform.results([single], platform.submit([single]), patience_s=60)
        assert complete(platform, "j") is None
        assert len(Jobs(platform.store, platform.collection).parts("j")) < 8
        wait_until(lambda: complete(platform, "j") is not None, 120, "the worker completes the job by itself")


def test_a_platforms_own_job_is_complete_once_somebody_says_how_large_it_is(
    platform: Platform, ask: Ask
) -> None:
    platform.promote_tiny_model()
    refs = platform.upload_kinds("own", 20)
    with platform.running(*WORKER):
        platform.submit_job(refs, "own-job")
        wait_until(lambda: bool(Jobs(platform.store, platform.collection).parts("own-job")), 60, "a part")
        assert ask("jobs", "show", "own-job")["state"] == "open"
        ask("jobs", "close", "own-job", "--pictures", "20")
        waited = ask("jobs", "wait", "own-job")
    assert waited["manifest"]["pictures"] == 20
    listed = ask("jobs", "list")
    assert [(job["job_id"], job["state"]) for job in listed["jobs"]] == [("own-job", "complete")]
    assert json.dumps(listed).count("part-") == 0
