"""What each role may do in the store, on the real one under the generated policies."""

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from model_store.cluster_names import ClusterNames, Heir
from model_store.dead_letters import DeadLetters
from model_store.layout import Layout
from model_store.ledger import Ledger
from model_store.registry import Registry
from model_store.results import Results
from model_store.s3 import check_bucket
from model_store.unfinished import remove_unfinished
from producer.contracts import Failure, ImageRef, Result
from producer.errors import AccessDenied, NoChampion, ObjectNotFound
from producer.ulid import new_ulid
from tests.integration.policed_servers import BUCKET, UPLOADS, Policed
from tests.tiny_model import TinyBundle, make_tiny_bundle
from training.runs import Runs

ROLES = ("producer", "worker", "trainer", "console")
Verb = Callable[[Policed, str, str, str], object]


def read(policed: Policed, role: str, bucket: str, key: str) -> object:
    policed.store("admin", bucket).put(key, b"there")
    return policed.store(role, bucket).get(key)


def write(policed: Policed, role: str, bucket: str, key: str) -> object:
    store = policed.store(role, bucket)
    return store.put(key, b"new"), store.put(key, b"over it")


def remove(policed: Policed, role: str, bucket: str, key: str) -> None:
    policed.store("admin", bucket).put(key, b"there")
    policed.store(role, bucket).delete(key)


def list_all(policed: Policed, role: str, bucket: str, key: str) -> object:
    return list(policed.store(role, bucket).list(key))


AREAS = {
    "results": "c/results/im/{}.json",
    "jobs": "c/jobs/j/part-{}.parquet",
    "ledger": "c/ledger/dt=2026-01-01/hh=00/{}.parquet",
    "dead": "c/dead/dt=2026-01-01/{}.json",
    "models": "c/models/{}/encoder.safetensors",
    "the record of a model": "c/models/{}/manifest.json",
    "the clusters of a model": "c/models/{}/clusters.json",
    "what poses as results in a model": "c/models/{}/results/manifest.json",
    "aliases": "c/aliases/{}.json",
    "runs": "c/runs/{}.json",
    "sweeps": "c/sweeps/{}.json",
    "erasures": "c/erasures/{}.json",
    "tombstones": "c/tombstones/{}",
    "backfills": "c/backfills/{}.json",
    "exemplars": "c/exemplars/{}.json",
    "tombstones.json": "c-{}/tombstones.json",
    "drift.json": "c-{}/drift.json",
    "probes": ".shoal/probe/{}",
    "clusters.json": "c-{}/clusters.json",
    "elsewhere": "c/else/{}",
    "the root": "{}",
}
EVERYBODY_BUT_PRODUCER = "worker trainer console"
MAY: dict[tuple[Verb, str], str] = {
    (list_all, "uploads"): EVERYBODY_BUT_PRODUCER,
    (read, "uploads"): EVERYBODY_BUT_PRODUCER,
    (write, "uploads"): "producer console",
    (remove, "uploads"): "console",
    (list_all, "results"): EVERYBODY_BUT_PRODUCER,
    (read, "results"): "worker console",
    (read, "jobs"): "worker console",
    (read, "ledger"): "trainer console",
    (read, "dead"): "worker console",
    (read, "models"): EVERYBODY_BUT_PRODUCER,
    (read, "the record of a model"): EVERYBODY_BUT_PRODUCER,
    (read, "the clusters of a model"): EVERYBODY_BUT_PRODUCER,
    (read, "what poses as results in a model"): EVERYBODY_BUT_PRODUCER,
    (read, "aliases"): EVERYBODY_BUT_PRODUCER,
    (read, "runs"): "trainer console",
    (read, "sweeps"): "console",
    (read, "erasures"): "trainer console",
    (read, "tombstones"): EVERYBODY_BUT_PRODUCER,
    (read, "exemplars"): "trainer console",
    (read, "backfills"): "trainer console",
    (read, "clusters.json"): EVERYBODY_BUT_PRODUCER,
    (read, "tombstones.json"): EVERYBODY_BUT_PRODUCER,
    (read, "drift.json"): "trainer console",
    (read, "probes"): EVERYBODY_BUT_PRODUCER,
    (read, "elsewhere"): "",
    (read, "the root"): "",
    (write, "results"): "worker",
    (write, "jobs"): "worker console",
    (write, "ledger"): EVERYBODY_BUT_PRODUCER,
    (write, "dead"): "worker console",
    (write, "models"): "trainer",
    (write, "the record of a model"): "trainer",
    (write, "the clusters of a model"): "trainer",
    (write, "what poses as results in a model"): "",
    (write, "aliases"): "trainer console",
    (write, "runs"): "trainer console",
    (write, "sweeps"): "console",
    (write, "erasures"): "trainer console",
    (write, "tombstones"): "console",
    (write, "exemplars"): "trainer console",
    (write, "backfills"): "trainer console",
    (write, "clusters.json"): "trainer console",
    (write, "tombstones.json"): "console",
    (write, "drift.json"): "trainer",
    (write, "probes"): EVERYBODY_BUT_PRODUCER,
    (write, "elsewhere"): "",
    (write, "the root"): "",
    (remove, "results"): "worker console",
    (remove, "jobs"): "console",
    (remove, "ledger"): EVERYBODY_BUT_PRODUCER,
    (remove, "dead"): "worker console",
    (remove, "models"): "trainer",
    (remove, "the record of a model"): "",
    (remove, "the clusters of a model"): "trainer",
    (remove, "what poses as results in a model"): "",
    (remove, "aliases"): "",
    (remove, "runs"): "trainer console",
    (remove, "sweeps"): "console",
    (remove, "erasures"): "",
    (remove, "tombstones"): "console",
    (remove, "exemplars"): "trainer",
    (remove, "backfills"): "",
    (remove, "clusters.json"): "",
    (remove, "drift.json"): "",
    (remove, "probes"): EVERYBODY_BUT_PRODUCER,
    (remove, "elsewhere"): "",
    (remove, "the root"): "",
}
TABLE = [
    pytest.param(role, verb, place, role in may.split(), id=f"{role}-{verb.__name__}-{place}")
    for (verb, place), may in MAY.items()
    for role in ROLES
]


@pytest.mark.parametrize(("role", "verb", "place", "may"), TABLE)
def test_a_role_does_what_it_may_and_nothing_else(
    policed: Policed, role: str, verb: Verb, place: str, *, may: bool
) -> None:
    bucket = UPLOADS if place == "uploads" else BUCKET
    key = AREAS.get(place, "a/{}.jpg").format(uuid4().hex)
    with contextlib.nullcontext() if may else pytest.raises(AccessDenied):
        verb(policed, role, bucket, key)


@pytest.mark.parametrize("role", ROLES)
def test_no_role_makes_buckets_or_policies(policed: Policed, role: str) -> None:
    everyone = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    with policed.s3(role) as s3:
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.create_bucket(Bucket="anything")
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.put_bucket_policy(
                Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [everyone]})
            )
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.delete_bucket(Bucket=UPLOADS)


@pytest.mark.parametrize("role", ["worker", "trainer", "console"])
def test_what_is_not_there_is_not_called_denied(policed: Policed, role: str) -> None:
    for bucket in (BUCKET, UPLOADS):
        check_bucket(bucket, policed.store_settings(role))  # what a start-up asks for
    with pytest.raises(NoChampion):
        Registry(policed.store(role), "no-such-collection").current()
    with pytest.raises(ObjectNotFound):
        policed.store(role, UPLOADS).get("no-such-upload.jpg")


def test_a_worker_answers_a_message(policed: Policed) -> None:
    message_id, ref = new_ulid(), ImageRef(image_id="img_1", bucket=UPLOADS, key="a.jpg")
    error = Failure(code="internal", detail="")
    first = Result(image_id="img_1", collection="w", status="failed", error=error, message_id=message_id)
    store = policed.store("worker")
    Results(store, "w").save([first])
    Results(store, "w").save([first.model_copy(update={"attempt": 2})])  # a compare-and-swap
    Ledger(store, "w").append(message_id, [ref], [first], [None])
    DeadLetters(store, "w").keep(message_id, {"images": []}, "why")

    assert Results(store, "w").get("img_1").attempt == 2


@pytest.fixture(scope="module")
def second_bundle() -> TinyBundle:
    return make_tiny_bundle(1, version="20260101-000001-tiny01")


def test_a_trainer_publishes_and_promotes_and_a_console_rolls_back(
    policed: Policed, tiny_bundle: TinyBundle, second_bundle: TinyBundle
) -> None:
    runs, registry = Runs(policed.store("trainer"), "t"), Registry(policed.store("trainer"), "t")
    lease = runs.begin("slot")
    assert lease is not None
    for manifest, files in (tiny_bundle, second_bundle):
        registry.promote(registry.publish(manifest, files).version)
    registry.set_challenger(registry.manifest(tiny_bundle[0].version)[1], reason="test")
    lease.end(state="promoted")
    names = ClusterNames(policed.store("trainer"), "t")
    names.inherit([Heir("c_new", "c_old", takes_name=True)])  # reads; there is nothing to hand on yet
    names.name("c_old", "cats")
    assert names.inherit([Heir("c_new", "c_old", takes_name=True)]).display("c_new").name == "cats"

    assert Registry(policed.store("console"), "t").rollback().version == tiny_bundle[0].version

    serving = Registry(policed.store("worker"), "t")
    assert serving.load(serving.current(), "cpu").manifest == tiny_bundle[0]
    with pytest.raises(AccessDenied):
        serving.promote(second_bundle[0].version)


def test_a_trainer_removes_what_was_never_finished(policed: Policed) -> None:
    store, layout = policed.store("trainer"), Layout("u")
    store.put(layout.model("v1", "encoder.safetensors"), b"weights")
    store.put(layout.exemplars("v1"), b"{}")

    assert remove_unfinished(store, "u", datetime.now(UTC) + timedelta(days=1)) == ["v1"]

    left = [(info.key, info.size_bytes) for info in store.list("u/")]
    assert left == [(layout.model("v1", "manifest.json"), 0)]
    assert list(Registry(store, "u").versions()) == []


def test_nobody_gets_in_without_keys(policed: Policed) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=policed.store_settings("worker").endpoint,
        region_name="us-east-1",
        config=Config(signature_version=UNSIGNED),
    )
    with contextlib.closing(client), pytest.raises(ClientError, match="AccessDenied"):
        client.list_objects_v2(Bucket=UPLOADS)
