import io
import json

import pytest

from model_store.dead_letters import DeadLetters
from model_store.registry import Registry
from model_store.results import Results
from producer.broker import redis_client
from producer.contracts import ClassifyImages, Failure, ImageRef, ModelStamp, Result
from producer.ulid import new_ulid
from tests.system.running_platform import Platform, wait_until
from tests.system.shoal_command import Shoal
from tests.system.test_upload_to_result import envelope


@pytest.fixture
def shoal(serving: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shoal:
    return Shoal(serving, monkeypatch, capsys)


@pytest.fixture
def letters(serving: Platform) -> DeadLetters:
    return DeadLetters(serving.store, serving.collection)


def die(platform: Platform, letters: DeadLetters, refs: list[ImageRef]) -> str:
    """Leave what a message leaves that could not be done: `failed` results and a dead letter."""
    message = ClassifyImages(collection=platform.collection, images=tuple(refs))
    alias = Registry(platform.store, platform.collection).current()
    stamp = ModelStamp(version=alias.version, sha256=alias.sha256, generation=alias.generation)
    failure = Failure(code="internal", detail="three workers died of it")
    Results(platform.store, platform.collection).save(
        Result(
            image_id=ref.image_id,
            collection=platform.collection,
            status="failed",
            model=stamp,
            error=failure,
            message_id=message.message_id,
        )
        for ref in refs
    )
    letters.keep(message.message_id, message.model_dump(mode="json"), failure.detail, queue="interactive")
    return message.message_id


def answered(platform: Platform, refs: list[ImageRef], message_id: str) -> bool:
    found = Results(platform.store, platform.collection).get_many(ref.image_id for ref in refs)
    return sum(r.status in {"assigned", "unknown"} and r.message_id == message_id for r in found) == len(refs)


def test_a_replay_replaces_the_failed_results_by_right_ones(
    serving: Platform, shoal: Shoal, letters: DeadLetters
) -> None:
    refs = serving.upload_kinds("dead", 5)
    message_id = die(serving, letters, refs)
    assert not answered(serving, refs, message_id)
    done = shoal.json("dead", "replay", message_id, "--collection", serving.collection)
    assert done == {"replayed": [message_id], "kept": {}}
    wait_until(lambda: answered(serving, refs, message_id), 60, "right results")
    assert list(letters.ids()) == []


def test_a_replay_of_an_old_letter_does_not_replace_a_newer_result(
    serving: Platform, shoal: Shoal, letters: DeadLetters
) -> None:
    refs = serving.upload_kinds("old", 1)
    old = die(serving, letters, refs)
    newer = serving.submit(refs)
    wait_until(lambda: answered(serving, refs, newer), 60, "the newer result")
    shoal("dead", "replay", "--all", "--collection", serving.collection)
    wait_until(lambda: f"message_id={old}" in serving.log_text().replace("'", ""), 60, "the replay was done")
    after = serving.upload_kinds("after", 1)
    serving.results(after, serving.submit(after))
    assert answered(serving, refs, newer)


def test_raw_bytes_go_back_to_their_queue_as_they_were(
    serving: Platform, shoal: Shoal, letters: DeadLetters
) -> None:
    refs = serving.upload_kinds("raw", 1)
    message = ClassifyImages(collection=serving.collection, images=tuple(refs))
    raw = json.dumps(envelope(message.model_dump(mode="json"))).encode()
    raw_id = new_ulid()
    letters.keep(raw_id, None, "it could not be read then", queue="interactive", raw=raw)
    where = ("--collection", serving.collection)
    assert "could not be read" in shoal("dead", "replay", raw_id, *where, status=1)
    shoal("dead", "replay", raw_id, "--raw", *where)
    wait_until(lambda: answered(serving, refs, message.message_id), 60, "its picture")
    assert list(letters.ids()) == []


def test_raw_bytes_of_an_unknown_queue_stay(serving: Platform, shoal: Shoal, letters: DeadLetters) -> None:
    letters.keep("m1", None, "no", queue="elsewhere", raw=b"x")
    said = shoal("dead", "replay", "--all", "--raw", "--collection", serving.collection, status=1)
    assert "came from the queue elsewhere" in said
    with redis_client(serving.broker) as client:
        assert client.exists("elsewhere") == 0
    assert list(letters.ids()) == ["m1"]


def test_letters_are_listed_shown_and_dropped(
    serving: Platform, shoal: Shoal, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ("--collection", serving.collection)
    letters.keep("m1", {"images": [{}, {}]}, "contract", history=["once", "twice"])
    letters.keep("m2", None, "no JSON", queue="bulk", raw=b"abc")
    listed = shoal("dead", "list", *where)
    assert "2 pictures" in listed
    assert "3 bytes that cannot be read" in listed
    assert [letter["id"] for letter in shoal.json("dead", "list", *where)] == ["m1", "m2"]
    assert json.loads(shoal("dead", "show", "m1", *where))["history"] == ["once", "twice"]
    assert shoal("dead", "show", "m2", "--raw", *where) == "abc"
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert "Aborted" in shoal("dead", "drop", "m1", *where, status=1)
    assert "no dead letter m3" in shoal("dead", "drop", "m1", "m3", "--yes", *where, status=1)
    assert list(letters.ids()) == ["m1", "m2"]
    shoal("dead", "drop", "m1", "--yes", *where)
    assert list(letters.ids()) == ["m2"]


@pytest.mark.parametrize("arguments", [("replay",), ("drop", "m1", "--all"), ("replay", "m1", "--all")])
def test_letters_are_named_or_all_are_meant(shoal: Shoal, arguments: tuple[str, ...]) -> None:
    assert "or say --all" in shoal("dead", *arguments, status=1)
