import pytest
from kombu.exceptions import OperationalError
from pydantic import SecretStr, ValidationError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from producer.broker import broker_errors, celery_app, classify_queues
from producer.errors import BrokerUnavailable, QueueFull
from producer.settings import BrokerSettings, ProducerSettings


def settings(url: str = "redis://:secret@broker:6379/3", **fields: object) -> BrokerSettings:
    return BrokerSettings.model_validate({"url": url, **fields})


@pytest.mark.parametrize("url", ["amqp://broker", "broker:6379", "http://broker", ""])
def test_url_of_another_kind_of_broker_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="redis://"):
        settings(url)


def test_training_url_of_another_kind_of_broker_is_refused() -> None:
    with pytest.raises(ValidationError, match="redis://"):
        settings(training_url="amqp://broker")


def test_mistyped_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="max_queue_deepth"):
        settings(max_queue_deepth=5)
    with pytest.raises(ValidationError, match="linger"):
        ProducerSettings.model_validate({"linger": 1})


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        settings().max_queue_depth = 5  # type: ignore[misc]


def test_password_is_shown_neither_by_the_settings_nor_by_the_masked_url() -> None:
    broker = settings("redis://user:s3cr3t@broker:6379/3")

    assert "s3cr3t" not in repr(broker) + broker.masked_url()
    assert broker.masked_url() == "redis://***@broker:6379/3"


def test_trainer_has_the_next_database_of_the_same_server() -> None:
    assert settings().for_training().url.get_secret_value() == "redis://:secret@broker:6379/4"
    assert settings("rediss://broker").for_training().url.get_secret_value() == "rediss://broker/1"


def test_trainer_can_have_a_broker_of_its_own() -> None:
    training = settings(training_url="redis://elsewhere/0").for_training()

    assert training.url == SecretStr("redis://elsewhere/0")


def test_interactive_is_served_first_then_the_plain_queue_then_bulk() -> None:
    assert [queue.name for queue in classify_queues(settings())] == ["interactive", "celery", "bulk"]


def test_plain_queue_can_be_turned_off() -> None:
    assert [queue.name for queue in classify_queues(settings(plain_queue=""))] == ["interactive", "bulk"]


def test_app_reads_and_writes_json_only() -> None:
    with celery_app("test", settings(), classify_queues(settings())) as app:
        assert list(app.conf.accept_content) == ["json"]
        assert app.conf.task_serializer == app.conf.result_serializer == "json"


def test_app_acknowledges_late_and_takes_messages_under_a_lease() -> None:
    with celery_app("test", settings(), classify_queues(settings()), tasks=("a.task",)) as app:
        assert app.conf.task_acks_late
        assert app.conf.task_reject_on_worker_lost
        assert app.connection().transport_cls == "producer.transport:Transport"
        assert app.conf.broker_transport_options["tasks"] == ("a.task",)


@pytest.mark.parametrize(
    "error",
    [
        RedisConnectionError("refused"),
        RedisTimeoutError("late"),
        ResponseError("LOADING"),
        OperationalError("closed"),
        OSError("no route"),
    ],
)
def test_broker_that_does_not_answer_is_unavailable_and_named_without_its_password(error: Exception) -> None:
    with pytest.raises(BrokerUnavailable) as caught, broker_errors(settings()):
        raise error

    assert caught.value.__cause__ is error
    assert "redis://***@broker:6379/3" in str(caught.value)


@pytest.mark.parametrize("kind", [ResponseError, OutOfMemoryError, OperationalError])
def test_broker_out_of_memory_is_a_full_queue(kind: type[Exception]) -> None:
    error = kind("command not allowed when used memory > 'maxmemory'.")

    with pytest.raises(QueueFull, match="memory limit"), broker_errors(settings()):
        raise error


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(ZeroDivisionError), broker_errors(settings()):
        raise ZeroDivisionError
