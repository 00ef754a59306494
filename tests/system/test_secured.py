"""The whole circle under least privilege and over TLS; and no secret in what anybody says or stores."""

import json
import re
from collections.abc import Iterator

import pytest

from console.waiting import wait_for_results
from model_store.registry import Registry
from model_store.results import Results
from producer import ImageRef, Producer
from producer.broker import celery_app, classify_queues
from tests.integration.policed_servers import BUCKET, UPLOADS
from tests.system.running_platform import picture, wait_until
from tests.system.secured_platform import Secured, secured_platform
from tests.system.tiny_retraining import RETRAINED
from tests.tiny_model import TinyBundle
from training.runs import Runs

N_PICTURES = 120
QUICK = {"SHOAL_WORKER__MODEL_POLL_S": "0.5", "SHOAL_LOG__LEVEL": "DEBUG"}
SHORT = {
    "SHOAL_WORKER__STARTUP_TIMEOUT_S": "2",
    "SHOAL_TRAINING__STARTUP_TIMEOUT_S": "2",
    "SHOAL_STORE__MAX_RETRIES": "0",
    "SHOAL_BROKER__SOCKET_TIMEOUT_S": "2",
    "SHOAL_LOG__LEVEL": "DEBUG",
}


@pytest.fixture(scope="module")
def secured(
    server_programs: None, tmp_path_factory: pytest.TempPathFactory, tiny_bundle: TinyBundle
) -> Iterator[Secured]:
    with secured_platform(tmp_path_factory.mktemp("secured")) as platform:
        with platform.store("trainer") as store:
            registry = Registry(store, "default")
            registry.promote(registry.publish(*tiny_bundle).version)
        yield platform


def answered(secured: Secured, refs: list[ImageRef]) -> set[str]:
    """Wait for the result of each, as a person would; gives the statuses."""
    ids = [ref.image_id for ref in refs]
    with secured.store("console") as store:
        found = wait_for_results(
            Results(store, "default"), ids, not_before="", patience_s=120, on_progress=lambda _: None
        )
    assert len(found) == len(refs)
    return {result.status for result in found.values()}


def assert_no_secret(secured: Secured, where: str, text: bytes | str) -> None:
    data = text.encode() if isinstance(text, str) else text
    found = [name for name, secret in secured.secrets().items() if secret.encode() in data]
    assert not found, f"{where} shows: {found}"


def submit(secured: Secured, name: str, n: int) -> list[ImageRef]:
    """Upload and submit as the producer does."""
    refs = [ImageRef(image_id=f"{name}-{i}", bucket=UPLOADS, key=f"{name}/{i}.png") for i in range(n)]
    with secured.store("producer", UPLOADS) as uploads, Producer(secured.settings("producer")[0]) as producer:
        for i, ref in enumerate(refs):
            uploads.put(ref.key, picture(i % 3, i))
        producer.submit_many(refs)
    return refs


def test_the_whole_circle_under_roles_and_tls(secured: Secured) -> None:
    with secured.servers.redis("admin") as admin:
        admin.acl_log_reset()
    with secured.running("worker", "worker ready", **QUICK), secured.store("console") as store:
        refs = submit(secured, "circle", N_PICTURES)
        assert answered(secured, refs) <= {"assigned", "unknown"}

        with secured.running("trainer", "trainer ready", **RETRAINED, SHOAL_LOG__LEVEL="DEBUG"):
            asked = secured.shoal("console", "retrain", "--json")
            slot = json.loads(asked.stdout)["slot"]
            runs = Runs(store, "default")
            wait_until(
                lambda: [run.state for run in runs.all() if run.slot == slot] not in ([], ["running"]),
                180,
                "the run's end",
            )
            assert runs.get(slot).state in {"promoted", "challenger"}, runs.get(slot)
        for command in (
            "status",
            "models list",
            "models runs",
            f"result {refs[0].image_id}",
            "models rollback",
        ):
            done = secured.shoal("console", *command.split())
            assert done.returncode == 0 or "nothing to go back to" in done.stderr, done.stderr
    with secured.servers.redis("admin") as admin:
        refused = [(entry["username"], entry["object"]) for entry in admin.acl_log()]
    assert refused == [], "somebody asked the broker for more than its role gives"
    assert "AccessDenied" not in "".join(log.read_text() for log in secured.workdir.glob("*.log"))


@pytest.mark.parametrize(
    ("role", "wrong", "said", "status"),
    [
        (
            "worker",
            {"SHOAL_BROKER__URL": ("shoal-{role}:", "shoal-{role}:x")},
            "invalid username-password",
            69,
        ),
        ("worker", {"SHOAL_BROKER__URL": ("@127.0.0.1", "@no-such-host.invalid")}, "no-such-host", 69),
        ("worker", {"SHOAL_BROKER__URL": ("@", "#@")}, "%23", 78),
        ("worker", {"SHOAL_BROKER__URL": ("@", "@[")}, "SHOAL_BROKER", 78),
        ("worker", {"SHOAL_BROKER__URL": ("@127.0.0.1:", "@127.0.0.1:port")}, "SHOAL_BROKER", 78),
        ("worker", {"SHOAL_BROKER__CA_FILE": ("/", "/nowhere/")}, "SHOAL_BROKER__CA_FILE", 78),
        ("worker", {"SHOAL_STORE__SECRET_KEY": ("", "x")}, "store refuses us", 78),
        (
            "worker",
            {"SHOAL_STORE__ENDPOINT": ("https://", "https://{access_key}:{secret_key}@")},
            "keys are set apart",
            78,
        ),
        ("worker", {"SHOAL_STORE__ACCES_KEY": ("", "{access_key}")}, "SHOAL_STORE__ACCES_KEY", 78),
        (
            "trainer",
            {"SHOAL_BROKER__URL": ("shoal-{role}:", "shoal-{role}:x")},
            "invalid username-password",
            69,
        ),
        ("trainer", {"SHOAL_STORE__SECRET_KEY": ("", "x")}, "store refuses us", 78),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_start_that_fails_shows_no_secret(
    secured: Secured, role: str, wrong: dict[str, tuple[str, str]], said: str, status: int
) -> None:
    env = secured.environment(role)
    own = {name: env[f"SHOAL_STORE__{name.upper()}"] for name in ("access_key", "secret_key")}
    spoilt = {
        name: env.get(name, "").replace(old.format(role=role), new.format(role=role, **own), 1)
        for name, (old, new) in wrong.items()
    }

    done = secured.shoal(role, role, **SHORT, **spoilt)

    assert done.returncode == status, done.stderr
    assert re.search(said, done.stderr), done.stderr
    assert_no_secret(secured, "the output", done.stdout + done.stderr)


def test_crashes_of_producer_and_commands_show_no_secret(secured: Secured) -> None:
    broker = secured.settings("producer")[0]
    with Producer(broker) as producer, celery_app("producer", broker, classify_queues(broker)) as app:
        connection = app.connection_for_write()
        shown = [repr(producer), repr(broker), repr(producer._redis), repr(connection), str(broker)]
        shown += [repr(secured.settings("producer")[1]), repr(app.conf.humanize())]
    for command in (
        "status",
        "submit ../nowhere",
        "models list",
        "retrain",
        "init",
        "deploy policies --out .",
    ):
        unreachable = {"SHOAL_BROKER__CONNECT_TIMEOUT_S": "1", "SHOAL_STORE__MAX_RETRIES": "0"}
        for role in ("producer", "console"):
            done = secured.shoal(role, *command.split(), **unreachable)
            shown += [done.stdout, done.stderr]
    for text in shown:
        assert_no_secret(secured, "an output", text)


def test_a_worker_whose_servers_go_away_and_come_back_shows_no_secret(secured: Secured) -> None:
    with secured.running("worker", "worker ready", **QUICK) as log:
        before = len(log.read_text())
        secured.servers.stop()
        wait_until(lambda: "presence could not be told" in log.read_text()[before:], 60, "it says so")
        secured.servers.start()
        assert answered(secured, submit(secured, "after", 3)) <= {"assigned", "unknown"}
    assert_no_secret(secured, "the log", log.read_bytes())


def test_nothing_that_was_said_or_stored_shows_a_secret(secured: Secured) -> None:
    """Runs last in this module: what all others left behind."""
    logs = [*secured.workdir.glob("*.log"), *secured.workdir.parent.glob("*.log")]
    assert {"worker", "trainer", "commands", "valkey"} <= {re.split(r"\W", log.name)[0] for log in logs}
    for log in logs:
        assert_no_secret(secured, log.name, log.read_bytes())
    n_objects = 0
    for bucket in (BUCKET, UPLOADS):
        with secured.store("admin", bucket) as store:
            for info in store.list():
                n_objects += 1
                assert_no_secret(secured, info.key, store.get(info.key).data)
    assert n_objects > N_PICTURES
    with secured.servers.redis("admin") as admin:
        admin.config_set("rdbcompression", "no")  # else a dump would hide what it holds
        for key in admin.scan_iter():
            assert_no_secret(secured, str(key), bytes(admin.dump(key) or b""))
