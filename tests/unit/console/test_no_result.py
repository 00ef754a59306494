import pytest

from console.no_result import reasons, without_model
from model_store.dead_letters import DeadLetters
from model_store.object_store import MemoryStore
from model_store.registry import Registry
from model_store.tombstones import Tombstones
from producer.errors import BrokerUnavailable
from tests.tiny_model import TinyBundle


def with_champion(registry: Registry, bundle: TinyBundle) -> None:
    registry.promote(registry.publish(*bundle).version)


def test_erased_pictures_and_those_of_dead_letters_are_told_apart_from_what_waits_for_a_model(
    store: MemoryStore, registry: Registry
) -> None:
    Tombstones(store, "default").set(["erased", "both"], "r1")
    letters = DeadLetters(store, "default")
    letters.keep("m1", {"images": [{"image_id": "dead"}, {"image_id": "both"}, "odd"]}, "three workers died")
    letters.keep("m2", {"images": 5}, "no message")
    letters.keep("m3", None, "cannot be read", raw=b"x")

    told = reasons(store, registry, ["erased", "both", "dead", "new"], lambda: 0)

    assert told["erased"] == told["both"] == "it was erased"
    assert "`shoal dead show m1`" in told["dead"]
    assert told["new"] == without_model(registry, store)
    assert "`shoal train path/to/pictures --collection default`" in told["new"]


@pytest.mark.parametrize(
    ("waiting", "said"), [(3, "in work, 3 messages of all collections"), (0, "no message waits")]
)
def test_with_a_model_what_waits_in_the_broker_tells_the_rest(
    store: MemoryStore, registry: Registry, tiny_bundle: TinyBundle, waiting: int, said: str
) -> None:
    with_champion(registry, tiny_bundle)
    assert without_model(registry, store) is None
    assert said in reasons(store, registry, ["a"], lambda: waiting)["a"]


def test_a_broker_that_is_away_leaves_that_open(
    store: MemoryStore, registry: Registry, tiny_bundle: TinyBundle
) -> None:
    def away() -> int:
        raise BrokerUnavailable("no answer from Redis")

    with_champion(registry, tiny_bundle)
    assert "not known whether it waits: no answer" in reasons(store, registry, ["a"], away)["a"]
