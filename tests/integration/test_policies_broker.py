"""What each role may do on the broker, on a real Valkey under the generated users."""

import contextlib

import pytest
import redis
from kombu.exceptions import OperationalError

from console.access.broker_acl import acl_file
from console.access.credentials import Credentials
from producer import ImageRef, Producer
from producer.broker import (
    RETRAIN,
    TRAINING_QUEUE,
    celery_app,
    lane_depths,
    lane_queue,
    redis_client,
)
from producer.errors import ConfigurationError
from producer.presence import workers
from producer.settings import BrokerSettings
from tests.integration.policed_servers import Policed

ROLES = ("producer", "worker", "trainer", "console")
SCRIPT = "redis.call('RPOP', KEYS[1]); redis.call('ZADD', KEYS[2], 1, 'x'); return redis.call('TIME')"
OUT_OF_KEYS = "return redis.call('GET', 'elsewhere')"
COMMANDS: dict[tuple[str, str], str] = {  # (database, command) -> who may
    ("messages", "LPUSH interactive x"): "producer worker console",
    ("messages", "LPUSH bulk x"): "producer worker console",
    ("messages", "LPUSH celery x"): "producer worker console",
    ("messages", "LLEN interactive"): "producer worker console",
    ("messages", "LPUSH shoal:bell x"): "producer worker console",
    ("messages", "LTRIM shoal:bell 0 9"): "producer worker console",
    ("messages", "LRANGE interactive 0 -1"): "worker",
    ("messages", "RPOP interactive"): "worker",
    ("messages", "LTRIM interactive 0 0"): "worker",
    ("messages", "DEL interactive"): "worker",
    ("messages", "LPUSH elsewhere x"): "",
    ("messages", "GET elsewhere"): "",
    ("messages", "LPUSH training x"): "console",
    ("messages", "BRPOP shoal:bell 0.01"): "worker",
    ("messages", "SET shoal:worker:a x EX 9"): "worker",
    ("messages", "GET shoal:worker:a"): "worker console",
    ("messages", "MGET shoal:worker:a shoal:worker:b"): "worker console",
    ("messages", "ZADD shoal:leases 1 x"): "worker",
    ("messages", "HSET shoal:leased x y"): "worker",
    ("messages", "INCR shoal:work:x"): "worker",
    ("messages", f"EVAL «{SCRIPT}» 2 interactive shoal:leases"): "worker",
    ("messages", f"EVAL «{SCRIPT}» 2 elsewhere shoal:leases"): "",
    ("messages", f"EVAL «{OUT_OF_KEYS}» 0"): "",
    ("messages", "SCRIPT LOAD «return 1»"): "worker trainer",
    ("messages", "SCAN 0"): "console",
    ("messages", "KEYS *"): "",
    ("messages", "FLUSHDB"): "",
    ("messages", "FLUSHALL"): "",
    ("messages", "SCRIPT FLUSH"): "",
    ("messages", "FUNCTION LIST"): "",
    ("messages", "SORT interactive BY elsewhere GET elsewhere"): "",
    ("messages", "CONFIG GET dir"): "",
    ("messages", "CONFIG SET dir /tmp"): "",
    ("messages", "ACL LIST"): "",
    ("messages", "ACL SETUSER shoal-worker on"): "",
    ("messages", "CLIENT LIST"): "",
    ("messages", "SHUTDOWN"): "",
    ("messages", "MONITOR"): "",
    ("messages", "REPLICAOF 127.0.0.1 1"): "",
    ("messages", "MODULE LIST"): "",
    ("messages", "PUBLISH anything x"): "",
    ("messages", "SUBSCRIBE anything"): "",
    ("training", "LPUSH training x"): "trainer console",
    ("training", "LLEN training"): "trainer console",
    ("training", "RPOP training"): "trainer",
    ("training", "ZADD shoal:leases 1 x"): "trainer",
    ("training", "LPUSH interactive x"): "console",
    ("training", "GET shoal:worker:a"): "console",
    ("training", "FLUSHDB"): "",
}
TABLE = [
    pytest.param(role, database, command, role in may.split(), id=f"{role}-{database}-{command[:30]}")
    for (database, command), may in COMMANDS.items()
    for role in ROLES
]


def words(command: str) -> list[str]:
    """Split at spaces, but not inside «»."""
    parts = command.replace("»", "«").split("«")
    return [word for i, part in enumerate(parts) for word in ([part] if i % 2 else part.split())]


@pytest.mark.parametrize(("role", "database", "command", "may"), TABLE)
def test_a_role_sends_what_it_may_and_nothing_else(
    policed: Policed, role: str, database: str, command: str, *, may: bool
) -> None:
    refused = pytest.raises(redis.exceptions.RedisError, match=r"(?i)no permission|can't run this command")
    with policed.redis("admin") as admin:
        admin.delete("interactive", "shoal:leases", "shoal:leased", "shoal:bell")
    with contextlib.nullcontext() if may else refused, policed.redis(role, database) as client:
        client.execute_command(*words(command))  # type: ignore[no-untyped-call]


def test_a_producer_submits_and_asks_for_nothing_that_it_may_not(policed: Policed) -> None:
    with policed.redis("admin") as admin:
        admin.delete("interactive", "bulk")
        admin.acl_log_reset()
        with Producer(policed.broker("producer")) as producer:
            for lane in ("interactive", "bulk"):
                producer.submit(ImageRef(image_id="i", bucket="uploads", key="k"), lane=lane).result(20)

        assert [admin.llen(lane) for lane in ("interactive", "bulk")] == [1, 1]
        assert admin.acl_log() == []


def test_a_console_sees_depths_and_workers_and_asks_for_a_run(policed: Policed) -> None:
    broker = policed.broker("console")
    training = broker.for_training()
    with policed.redis("admin") as admin:
        admin.flushdb()
        admin.set("shoal:worker:seen", '{"worker": "seen"}', ex=60)
        admin.acl_log_reset()
        with redis_client(broker) as client, celery_app("t", training, [lane_queue(TRAINING_QUEUE)]) as app:
            lane_depths(client, broker)
            assert {"worker": "seen"} in workers(client, broker)
            app.send_task(RETRAIN, kwargs={"collection": "default"}, queue=TRAINING_QUEUE, retry=False)
        assert admin.acl_log() == []


def test_a_producer_sends_nothing_to_the_trainer(policed: Policed) -> None:
    training = policed.broker("producer").for_training()
    with (
        celery_app("t", training, [lane_queue(TRAINING_QUEUE)]) as app,
        pytest.raises(OperationalError, match="No permissions"),
    ):
        app.send_task(RETRAIN, kwargs={"collection": "default"}, queue=TRAINING_QUEUE, retry=False)


def test_nobody_gets_in_without_a_name(policed: Policed) -> None:
    host = policed.broker("admin").url.get_secret_value().rpartition("@")[2].removesuffix("/0")
    address, _, port = host.partition(":")
    with redis.Redis(address, int(port)) as client, pytest.raises(redis.exceptions.AuthenticationError):
        client.ping()


def test_keys_alone_keep_the_roles_apart_where_databases_cannot_be_limited() -> None:
    text = acl_file(BrokerSettings(), Credentials(), limit_databases=False)

    assert "db=" not in text
    lines = {line.split()[1]: line for line in text.splitlines()}
    assert "training" not in lines["shoal-worker"]
    assert "training" not in lines["shoal-producer"]
    assert not any(lane in lines["shoal-trainer"] for lane in ("interactive", "bulk", "celery"))


def test_no_password_stands_in_the_acl_file() -> None:
    credentials = Credentials()
    text = acl_file(BrokerSettings(), credentials, limit_databases=True)

    assert not any(
        getattr(credentials, role).password.get_secret_value() in text for role in ("admin", *ROLES)
    )


def test_a_queue_name_that_would_be_a_pattern_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="PLAIN_QUEUE"):
        acl_file(BrokerSettings(plain_queue="*"), Credentials(), limit_databases=True)


def test_a_plain_queue_that_is_turned_off_is_given_to_nobody() -> None:
    assert "~celery" not in acl_file(BrokerSettings(plain_queue=""), Credentials(), limit_databases=True)
