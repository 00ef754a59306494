import io
import json

import numpy as np
from PIL import Image

from producer.broker import redis_client
from tests.system.running_platform import Platform, wait_until
from tests.system.test_upload_to_result import envelope, platform_picture


def message(platform: Platform, name: str, **more: object) -> dict[str, object]:
    ref = platform.upload(f"{platform.collection}/{name}.png", platform_picture())
    images = [{"image_id": ref.image_id, "bucket": ref.bucket, "key": ref.key}]
    return {"collection": platform.collection, "images": images, **more}


def push(platform: Platform, *letters: dict[str, object]) -> None:
    with redis_client(platform.broker) as client:
        for letter in letters:
            client.lpush("interactive", json.dumps(letter))


def ids(*messages: dict[str, object]) -> list[str]:
    return [image["image_id"] for each in messages for image in each["images"]]  # type: ignore[attr-defined]


def answered(platform: Platform, *messages: dict[str, object]) -> bool:
    from model_store.results import Results  # noqa: PLC0415

    found = {
        result.image_id for result in Results(platform.store, platform.collection).get_many(ids(*messages))
    }
    return found == set(ids(*messages))


def test_fields_and_headers_of_foreign_clients_do_no_harm(serving: Platform) -> None:
    named_task = message(serving, "task", task="x", self="y", args=[1])
    null_retries = message(serving, "null")
    letter = envelope(null_retries)
    letter["headers"]["retries"] = None  # type: ignore[index]
    push(serving, envelope(named_task), letter)
    wait_until(lambda: answered(serving, named_task, null_retries), 60, "both")


def test_a_message_from_a_foreign_exchange_survives_its_retries(platform: Platform) -> None:
    early = message(platform, "early")
    letter = envelope(early)
    letter["properties"]["delivery_info"] = {"exchange": "celery", "routing_key": "elsewhere"}  # type: ignore[index]
    with platform.running("worker", "worker ready", SHOAL_WORKER__MODEL_WAIT_S="0.2"):
        push(platform, letter)
        wait_until(lambda: platform_log_says(platform, "messages wait for a first model"), 60, "it was taken")
        platform.promote_tiny_model()
        wait_until(lambda: answered(platform, early), 60, "the message")


def platform_log_says(platform: Platform, text: str) -> bool:
    return any(text in log.read_text() for log in platform.workdir.glob("worker-*.log"))


def test_a_reference_with_control_characters_is_kept_as_dead_and_stops_nobody(serving: Platform) -> None:
    bad = message(serving, "bad")
    bad["images"][0]["etag"] = "\n"  # type: ignore[index]
    good = message(serving, "good")
    push(serving, *[envelope(bad) for _ in range(6)], envelope(good))
    wait_until(lambda: answered(serving, good), 60, "the good one")
    letters = [serving.store.get(info.key).data for info in serving.store.list("default/dead/")]
    assert sum(serving.collection.encode() in letter for letter in letters) == 6


def test_a_collection_without_a_model_does_not_hold_up_the_others(serving: Platform) -> None:
    typos = [{**message(serving, f"typo{i}"), "collection": "no-such-collection"} for i in range(30)]
    good = message(serving, "behind")
    push(serving, *map(envelope, typos), envelope(good))
    wait_until(lambda: answered(serving, good), 10, "the good one")
    with redis_client(serving.broker) as client:
        client.delete("interactive")


def test_sigterm_finishes_the_message_in_hand(platform: Platform) -> None:
    platform.promote_tiny_model()
    noise = np.random.default_rng(0).integers(0, 255, (700, 700, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG", compress_level=1)
    refs = [platform.upload(f"{platform.collection}/slow/{i}.png", file.getvalue()) for i in range(40)]
    with platform.running("worker", "worker ready", SHOAL_WORKER__DECODE_PROCESSES="1") as log:
        first = platform.submit(refs)
        with redis_client(platform.broker) as client:
            wait_until(lambda: client.llen("interactive") == 0, 60, "taken")
        assert "message done" not in log.read_text()
    results = platform.results(refs, first, patience_s=1)  # nobody works any more: they are there or lost
    assert {result.attempt for result in results.values()} == {1}
    with redis_client(platform.broker) as client:
        assert client.llen("interactive") == 0
