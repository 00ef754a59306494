import base64
import json
import re
import uuid
import zlib
from collections.abc import Mapping
from io import BytesIO

from celery import Celery
from PIL import Image

from model_store.ledger import Ledger
from model_store.registry import Registry
from producer.broker import redis_client
from producer.contracts import ClassifyImages, ImageRef
from producer.ulid import new_ulid
from tests.system.running_platform import Platform, wait_until

READY = "worker ready"


def test_every_submitted_picture_is_answered_by_the_champion(serving: Platform) -> None:
    version = Registry(serving.store, serving.collection).current().version
    refs = serving.upload_kinds("plain", 300)
    results = serving.results(refs, serving.submit(refs))
    answered = [result for result in results.values() if result.status in {"assigned", "unknown"}]
    assert len(answered) == 300
    assert {result.model.version for result in answered if result.model} == {version}
    ledger = Ledger(serving.store, serving.collection)  # written after the results
    wait_until(lambda: len(list(ledger.rows())) >= len(refs), 30, "the ledger")
    assert sorted(row.ref.image_id for row in ledger.rows()) == sorted(ref.image_id for ref in refs)


def test_pictures_of_one_kind_share_a_cluster(serving: Platform) -> None:
    refs = serving.upload_kinds("kinds", 60)
    results = serving.results(refs, serving.submit(refs))
    clusters = [results[ref.image_id].cluster for ref in refs]
    ids = [cluster.id for cluster in clusters if cluster]
    assert [len(set(ids[kind::3])) for kind in range(3)] == [1, 1, 1]
    assert len(set(ids)) == 3


def test_one_bad_picture_never_disturbs_its_neighbours(serving: Platform) -> None:
    good = serving.upload_kinds("good", 5)
    pixel = BytesIO()
    Image.new("RGB", (1, 1), "red").save(pixel, "GIF")
    odd = {
        "missing": ImageRef(image_id="missing", bucket="uploads", key="no/such/key.jpg"),
        "stranger": ImageRef(image_id="stranger", bucket="elsewhere", key="a.jpg"),
        "text": serving.upload("text", b"this is not a picture"),
        "gif": serving.upload("gif", pixel.getvalue()),
        "huge": serving.upload("huge", png_header(50_000, 50_000)),
    }
    message = ClassifyImages(collection=serving.collection, images=(*good, *odd.values()))
    serving.send(message)
    results = serving.results(list(message.images))
    assert all(results[ref.image_id].status in {"assigned", "unknown"} for ref in [*good, odd["gif"]])
    codes = {name: error.code for name in odd if (error := results[name].error)}
    assert codes == {
        "missing": "fetch.not_found",
        "stranger": "fetch.denied",
        "text": "decode.unsupported",
        "huge": "decode.too_many_pixels",
    }
    assert all(results[name].status == "rejected" for name in codes)


def test_a_duplicate_message_leaves_one_result_and_one_ledger_row_per_picture(serving: Platform) -> None:
    refs = serving.upload_kinds("twice", 6)
    message = ClassifyImages(collection=serving.collection, images=tuple(refs))
    serving.send(message)
    serving.send(message)
    done = re.compile(f"message done.*{message.message_id}")
    wait_until(lambda: len(done.findall(serving.log_text())) == 2, 60, "both deliveries")
    assert len(serving.results(refs)) == 6
    assert len(list(Ledger(serving.store, serving.collection).rows())) == 6


def test_a_plain_celery_client_is_served(serving: Platform) -> None:
    ref = serving.upload(f"{serving.collection}/celery.png", platform_picture())
    message = {
        "schema_version": 1,
        "message_id": new_ulid(),
        "collection": serving.collection,
        "images": [{"image_id": ref.image_id, "bucket": ref.bucket, "key": ref.key}],
    }
    with Celery(broker=serving.broker.url.get_secret_value(), set_as_current=False) as client:
        client.send_task("shoal.classify.v1", kwargs=message)
        results = serving.results([ref])
    assert results[ref.image_id].status in {"assigned", "unknown"}


def test_a_raw_message_as_a_node_client_writes_it_is_served(serving: Platform) -> None:
    ref = serving.upload(f"{serving.collection}/node.png", platform_picture())
    kwargs = {
        "message_id": new_ulid(),
        "collection": serving.collection,
        "images": [{"image_id": ref.image_id, "bucket": ref.bucket, "key": ref.key}],
    }
    with redis_client(serving.broker) as client:
        client.lpush("interactive", json.dumps(envelope(kwargs)))
        results = serving.results([ref])
    assert results[ref.image_id].status in {"assigned", "unknown"}


def test_messages_wait_for_a_first_model(platform: Platform) -> None:
    refs = platform.upload_kinds("early", 5)
    with platform.running("worker", READY) as log:
        first = platform.submit(refs)
        wait_until(lambda: "messages wait for a first model" in log.read_text(), 60, "the log says so")
        version = platform.promote_tiny_model()
        results = platform.results(refs, first)
    assert {result.model.version for result in results.values() if result.model} == {version}


def test_a_message_that_breaks_the_contract_is_kept_and_the_worker_goes_on(serving: Platform) -> None:
    ref = serving.upload(f"{serving.collection}/after.png", platform_picture())
    with redis_client(serving.broker) as client:
        client.lpush("interactive", json.dumps(envelope({"images": "none", "note": serving.collection})))
        assert serving.results([ref], serving.submit([ref]))
    letters = [serving.store.get(info.key).data for info in serving.store.list("default/dead/")]
    assert any(serving.collection.encode() in letter for letter in letters)


def platform_picture() -> bytes:
    file = BytesIO()
    Image.new("RGB", (40, 40), (10, 160, 30)).save(file, "PNG")
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises this size and has next to no data."""
    small = BytesIO()
    Image.new("L", (1, 1)).save(small, "PNG")
    data = bytearray(small.getvalue())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


def envelope(kwargs: Mapping[str, object]) -> dict[str, object]:
    """Celery's message protocol 2 on Redis, as celery-node writes it."""
    task_id = str(uuid.uuid4())
    body = json.dumps([[], kwargs, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    return {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "js", "task": "shoal.classify.v1", "id": task_id, "root_id": task_id},
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": 2,
            "delivery_tag": str(uuid.uuid4()),
            "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": "interactive"},
        },
    }
