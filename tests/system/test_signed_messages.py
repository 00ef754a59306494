"""A worker and a trainer that have signing keys do what is signed, and nothing else."""

import dataclasses
import json
import subprocess
import sys
from typing import Any, Final

from pydantic import SecretStr

from model_store.dead_letters import JSON
from model_store.results import Results
from producer.broker import CHECK, CLASSIFY, RETRAIN, TRAINING_QUEUE, celery_app, lane_queue
from producer.signing import Keyring
from producer.ulid import new_ulid
from tests.system.running_platform import Platform, wait_until
from tests.system.test_odd_messages import ids, message, push
from tests.system.test_retraining import runs
from tests.system.test_upload_to_result import envelope

NEW, OLD = SecretStr("new:" + "n" * 32), SecretStr("old:" + "o" * 32)
STRANGERS = SecretStr("new:" + "x" * 32)
KEYS: Final = {"SHOAL_BROKER__SIGNING_KEYS": json.dumps([key.get_secret_value() for key in (NEW, OLD)])}


def with_keys(platform: Platform, *keys: SecretStr) -> Platform:
    return dataclasses.replace(platform, broker=platform.broker.model_copy(update={"signing_keys": keys}))


def signed(platform: Platform, name: str, key: SecretStr) -> dict[str, Any]:
    return Keyring([key]).sign(CLASSIFY, message(platform, name, message_id=new_ulid()))


def dead(platform: Platform) -> dict[str, str]:
    """Why, by the image that it was about."""
    letters = [
        json.loads(platform.store.get(i.key).data)
        for i in platform.store.list("default/dead/")
        if i.key.endswith(JSON)
    ]
    ours = [letter for letter in letters if platform.collection in json.dumps(letter)]
    return {letter["message"]["kwargs"]["images"][0]["image_id"]: letter["error"] for letter in ours}


def test_only_what_is_signed_is_done_and_the_rest_is_kept_with_the_reason(platform: Platform) -> None:
    tampered = signed(platform, "tampered", NEW)
    other = message(platform, "other")["images"]
    refused = {
        "not signed": message(platform, "unsigned"),
        "signature by key new is wrong": signed(platform, "stranger", STRANGERS),
        "key who, which this process does not have": signed(platform, "who", SecretStr("who:" + "w" * 32)),
        "changed after signing": {**tampered, "images": other},
        "without a message_id": Keyring([NEW]).sign(CLASSIFY, message(platform, "no-id")),
        "not of the form": {**message(platform, "form"), "signature": "v1:new:0"},
    }
    old = signed(platform, "old", OLD)
    refs = platform.upload_kinds("signed", 30)

    with platform.running("worker", "worker ready", **KEYS) as log:
        push(platform, *map(envelope, refused.values()))
        first = with_keys(platform, NEW, OLD).submit(refs)
        wait_until(lambda: "messages wait for a first model" in log.read_text(), 60, "it was taken")
        platform.promote_tiny_model()  # what is signed was tried before; it comes again, and passes
        push(platform, envelope(old))
        platform.results(refs, first, patience_s=60)
        wait_until(lambda: len(dead(platform)) >= len(refused), 60, "the dead letters")
        results = Results(platform.store, platform.collection)
        wait_until(lambda: bool(list(results.get_many(ids(old)))), 60, "the older key's message")
        said = log.read_text()

    reasons = dead(platform)
    assert len(reasons) == len(refused)
    for reason, sent in refused.items():
        assert reason in reasons[ids(sent)[0]]
    assert list(results.get_many(ids(*refused.values()))) == []
    assert said.count("message refused") == len(refused)  # once each
    assert "n" * 32 not in said
    assert "o" * 32 not in said


def test_the_trainer_runs_only_what_is_signed(platform: Platform) -> None:
    asked = {"collection": platform.collection, "slot": "stranger"}
    tampered = {**Keyring([NEW]).sign(RETRAIN, asked), "slot": "tampered"}
    with platform.running("trainer", "trainer ready", **KEYS) as log:
        with celery_app("test", platform.broker.for_training(), [lane_queue(TRAINING_QUEUE)]) as app:
            for fields in (asked, tampered):
                app.send_task(RETRAIN, kwargs=fields, queue=TRAINING_QUEUE)
            app.send_task(CHECK, kwargs={"collection": platform.collection}, queue=TRAINING_QUEUE)
        shoal(platform, "retrain", "--collection", platform.collection)
        wait_until(lambda: "run ended" in log.read_text(), 60, "the signed run")
        assert log.read_text().count("a request is refused") == 3
    (run,) = runs(platform)
    assert run.slot.startswith("manual-")


def test_beat_signs_what_it_asks_for(platform: Platform) -> None:
    schedule = {
        **KEYS,
        "SHOAL_TRAINING__EVERY_S": "2",
        "SHOAL_TRAINING__COLLECTIONS": f'["{platform.collection}"]',
    }
    with (
        platform.running("trainer", "trainer ready", **schedule) as log,
        platform.running("beat", "beat: Starting", **schedule),
    ):
        wait_until(lambda: "run ended" in log.read_text(), 60, "a run that beat asked for")
        assert "is refused" not in log.read_text()


def shoal(platform: Platform, *arguments: str) -> None:
    environment = platform.environment(**KEYS)
    command = [sys.executable, "-m", "console.cli", *arguments]
    subprocess.run(command, env=environment, cwd=platform.workdir, check=True, timeout=120)
