"""Names on the wire, and the one way to make a Celery app or a Redis client for them.

Queues are named for their lanes: `interactive`, then `bulk`. A worker takes from the first that has
something, so a bulk backlog never holds up a single upload.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import redis
from celery import Celery
from kombu.entity import Exchange, Queue
from kombu.exceptions import OperationalError

from producer.contracts import Lane
from producer.errors import BrokerUnavailable, QueueFull
from producer.leases import Leases
from producer.settings import BrokerSettings

CLASSIFY: Final = "shoal.classify.v1"
RETRAIN: Final = "shoal.retrain.v1"
CHECK: Final = "shoal.check.v1"
INTERACTIVE: Final[Lane] = "interactive"
BULK: Final[Lane] = "bulk"
LANES: Final[tuple[Lane, ...]] = (INTERACTIVE, BULK)
TRAINING_QUEUE: Final = "training"


def lane_queue(name: str) -> Queue:
    """Describe a queue reached by its name alone: no binding in Redis that a flush could lose."""
    return Queue(name, Exchange(""), routing_key=name, no_declare=True)  # Celery would bind it all the same


def classify_queues(settings: BrokerSettings) -> list[Queue]:
    """List the queues a worker serves, first come first."""
    names = [INTERACTIVE, settings.plain_queue, BULK]
    return [lane_queue(name) for name in names if name]


def celery_app(
    name: str,
    settings: BrokerSettings,
    queues: list[Queue],
    *,
    leases: Leases | None = None,
    tasks: tuple[str, ...] = (),
    most_held: Mapping[str, int] | None = None,
) -> Celery:
    """Make a Celery app with the delivery settings that docs/decisions/0002 gives reasons for.

    Args:
        name: of the app, and of its connections in Redis.
        settings: where Redis is.
        queues: taken from in this order.
        leases: hold what a worker takes; one that only sends needs none.
        tasks: names of those that a worker does; a message for another is unreadable.
        most_held: by lane, how many of its messages a worker may hold at once; no limit if it is not named.
    """
    app = Celery(name, broker=settings.url.get_secret_value(), set_as_current=False)
    transport: dict[str, Any] = {
        "leases": leases,
        "tasks": tasks,
        "most_held": most_held or {},
        "priority_steps": [0],  # lanes are queues: one key each, not four
        "socket_connect_timeout": settings.connect_timeout_s,
        "socket_timeout": settings.socket_timeout_s
        if leases is None
        else min(settings.socket_timeout_s, settings.lease_s),
        "socket_keepalive": True,
        "health_check_interval": settings.health_check_interval_s,
        "client_name": f"shoal-{name}",
    }
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        event_serializer="json",
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_queues=queues,
        task_default_queue=queues[0].name,
        task_create_missing_queues=False,
        task_acks_late=True,
        task_acks_on_failure_or_timeout=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        task_send_sent_event=False,
        broker_transport="producer.transport:Transport",
        broker_transport_options=transport,
        broker_use_ssl=settings.tls_options() or None,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,  # else a full Redis ends the worker
        broker_connection_timeout=settings.connect_timeout_s,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        enable_utc=True,
        timezone="UTC",
    )
    return app


def lease_client(settings: BrokerSettings) -> "redis.Redis":
    """Make a client for what must be done within a lease: one slow answer must not cost it."""
    limit_s = min(settings.socket_timeout_s, settings.lease_s / 4)
    return redis_client(settings.model_copy(update={"socket_timeout_s": limit_s}), text=False)


def redis_client(settings: BrokerSettings, *, text: bool = True) -> "redis.Redis":
    """Make a client for what is not Celery's: depths, presence, leases; `text` decodes what it answers."""
    return redis.Redis.from_url(
        settings.url.get_secret_value(),
        decode_responses=text,
        **settings.tls_options(),
        socket_connect_timeout=settings.connect_timeout_s,
        socket_timeout=settings.socket_timeout_s,
        socket_keepalive=True,
        health_check_interval=settings.health_check_interval_s,
    )


@contextlib.contextmanager
def broker_errors(settings: BrokerSettings) -> Iterator[None]:
    """Translate what redis-py and kombu raise.

    Raises:
        QueueFull: Redis is at its `maxmemory`.
        BrokerUnavailable: everything else that keeps a command from being answered.
    """
    try:
        yield
    except (redis.exceptions.RedisError, OperationalError, OSError) as error:
        if "used memory > 'maxmemory'" in str(error):  # redis-py cuts off the leading OOM, kombu rewraps
            raise QueueFull(f"the broker {settings.masked_url()} is at its memory limit") from error
        if "MISCONF" in str(error):
            raise BrokerUnavailable(
                f"the broker {settings.masked_url()} takes no writes, its disk is full or fails: {error}"
            ) from error
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise BrokerUnavailable(
                f"the certificate of the broker {settings.masked_url()} is not trusted: {error}. "
                "Correct SHOAL_BROKER__CA_FILE or the host name in SHOAL_BROKER__URL"
            ) from error
        raise BrokerUnavailable(f"the broker {settings.masked_url()} does not answer: {error}") from error


def lane_depths(client: "redis.Redis", settings: BrokerSettings) -> dict[Lane, int]:
    """Count the waiting messages per lane; what was sent to the plain queue counts as interactive."""
    with broker_errors(settings):
        waiting = [
            int(client.llen(name)) if name else 0 for name in (INTERACTIVE, settings.plain_queue, BULK)
        ]
    return {INTERACTIVE: waiting[0] + waiting[1], BULK: waiting[2]}
