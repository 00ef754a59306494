import contextlib
import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_store.results import Results
from producer.broker import redis_client
from producer.contracts import ImageRef
from producer.presence import workers
from tests.system.forked_process import ForkedProcess
from tests.system.hanging_worker import GROWS_BY_BYTES
from tests.system.running_platform import Platform, wait_until
from tests.system.shoal_command import Shoal

HANGING = "tests.system.hanging_worker"


@pytest.fixture
def shoal(platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shoal:
    return Shoal(platform, monkeypatch, capsys)


@contextlib.contextmanager
def hanging_worker(platform: Platform, **environment: str) -> Iterator[tuple[ForkedProcess, Path]]:
    """Run a worker that can be made to hang; gives it and its log, once it is ready."""
    log = platform.workdir / "hanging.log"
    env = platform.environment(**environment)
    process = ForkedProcess(HANGING, [], output=log, env=env, cwd=platform.workdir, grace_s=30)
    try:
        wait_until(lambda: "worker ready" in log.read_text() or process.poll() is not None, 180, str(log))
        assert process.poll() is None, log.read_text()
        yield process, log
    finally:
        process.kill()
        process.wait()


def named(platform: Platform, name: str) -> ImageRef:
    (ref,) = platform.upload_kinds(name, 1)
    return ref.model_copy(update={"image_id": f"{name}-{platform.collection}"})


def has_result(platform: Platform, ref: ImageRef) -> bool:
    return bool(list(Results(platform.store, platform.collection).get_many([ref.image_id])))


def taken(platform: Platform) -> bool:
    with redis_client(platform.broker) as client:
        return any(record["in_work"] for record in workers(client, platform.broker))


def test_a_worker_whose_message_hangs_ends_and_says_where(platform: Platform) -> None:
    platform.promote_tiny_model()
    with hanging_worker(platform, SHOAL_WORKER__MESSAGE_LIMIT_S="2") as (process, log):
        message_id = platform.submit([named(platform, "hang")])
        assert process.wait(60) == 75
    said = log.read_text()
    assert "the worker hangs and ends" in said
    assert message_id in said.partition("the worker hangs and ends")[2]
    assert re.search(r"hanging_worker.py.* in classify", said), "the stack shows what it hangs in"


def test_a_worker_without_work_a_model_or_a_broker_is_left_alone(platform: Platform) -> None:
    limits = {"SHOAL_WORKER__STALL_LIMIT_S": "1", "SHOAL_WORKER__MESSAGE_LIMIT_S": "1.5"}
    with hanging_worker(platform, SHOAL_WORKER__MODEL_WAIT_S="0.2", **limits) as (process, log):
        early = named(platform, "early")
        platform.submit([early])
        with pytest.raises(Exception, match="timed out"):
            process.wait(6)  # longer than any limit
        platform.promote_tiny_model()
        wait_until(lambda: has_result(platform, early), 60, "the first model was awaited")
    assert "hangs" not in log.read_text()


def test_sigterm_shows_what_the_drain_waits_for_and_exits_with_0(platform: Platform) -> None:
    platform.promote_tiny_model()
    slow = named(platform, "slow")
    with hanging_worker(platform) as (process, log):
        message_id = platform.submit([slow])
        wait_until(lambda: taken(platform), 60, "in work")
        process.terminate()
        assert process.wait(60) == 0
    draining = [line for line in log.read_text().splitlines() if "draining" in line]
    assert len(draining) >= 2
    assert all(message_id in line for line in draining)
    assert has_result(platform, slow)


def test_a_worker_grown_past_its_mark_finishes_what_it_has_and_ends_with_0(platform: Platform) -> None:
    platform.promote_tiny_model()
    ref = named(platform, "grow")
    with hanging_worker(platform, SHOAL_WORKER__MEMORY_MARK_BYTES=str(GROWS_BY_BYTES)) as (process, log):
        platform.submit([ref])
        assert process.wait(60) == 0
    assert "the worker has grown past its mark" in log.read_text()
    assert has_result(platform, ref)


@pytest.mark.parametrize(("message_limit_s", "status"), [("600", 0), ("3", 75)])
def test_what_outlasts_the_drain_is_given_back_and_only_what_hangs_is_a_failure(
    platform: Platform, message_limit_s: str, status: int
) -> None:
    platform.promote_tiny_model()
    ref = named(platform, "hang")
    environment = {"SHOAL_WORKER__DRAIN_TIMEOUT_S": "5", "SHOAL_WORKER__MESSAGE_LIMIT_S": message_limit_s}
    with hanging_worker(platform, **environment) as (process, log):
        platform.submit([ref])
        wait_until(lambda: taken(platform), 60, "in work")
        process.terminate()
        assert process.wait(60) == status, log.read_text()
    if status == 0:
        assert "given back, they took too long to end" in log.read_text()
    with platform.running("worker", "worker ready"):  # one that does not hang
        wait_until(lambda: has_result(platform, ref), 60, "it was given back, not lost")


def test_check_tells_the_health_of_this_hosts_workers(platform: Platform, shoal: Shoal) -> None:
    assert "FAILED worker: none runs on" in shoal("worker", "--check", status=1)
    with platform.running("worker", "worker ready"):
        wait_until(
            lambda: [told["state"] for told in platform.workers()] == ["ready"],
            60,
            "it tells of itself a moment later",
        )
        said = shoal("worker", "--check")
        assert "ok     model loaded: none yet" in said
        version = platform.promote_tiny_model()
        refs = platform.upload_kinds("check", 1)
        platform.results(refs, platform.submit(refs))
        wait_until(lambda: version in shoal("worker", "--check"), 60, "the model")
        lines = shoal("worker", "--check").splitlines()
    names = [line[7:].partition(":")[0].split()[0] for line in lines]
    assert names == ["broker", "store", "worker", "model", "last"]
    assert all(line.startswith("ok ") for line in lines)


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("SHOAL_BROKER__URL", "redis://127.0.0.1:1/0", "FAILED broker"),
        ("SHOAL_STORE__ENDPOINT", "http://127.0.0.1:1", "FAILED store"),
    ],
)
def test_check_says_which_server_is_away(
    shoal: Shoal, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, said: str
) -> None:
    monkeypatch.setenv(setting, value)
    monkeypatch.setenv("SHOAL_STORE__MAX_RETRIES", "0")
    assert said in shoal("worker", "--check", status=1)


def test_the_health_endpoint_answers_by_http(platform: Platform) -> None:
    version = platform.promote_tiny_model()
    with platform.running("worker", "worker ready", SHOAL_WORKER__HEALTH_PORT="0") as log:
        refs = platform.upload_kinds("http", 1)
        platform.results(refs, platform.submit(refs))
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text().partition("health endpoint")[2])
        assert found
        for path in ("/healthz", "/readyz"):
            address = found[0].removeprefix("http://")
            with contextlib.closing(http.client.HTTPConnection(address, timeout=30)) as wire:
                wire.request("GET", path)
                with wire.getresponse() as answer:
                    assert answer.status == 200
                    checks = json.load(answer)["checks"]
        assert version in str(checks)
