from console.commands.status import ANSWERS, awaited, champion_in_words
from model_store.object_store import MemoryStore
from model_store.registry import Registry
from tests.tiny_model import TinyBundle


def test_a_store_that_was_not_read_is_not_taken_for_one_without_a_model() -> None:
    assert "shoal train" in champion_in_words(None, ANSWERS)
    assert "shoal train" not in champion_in_words(None, "the store http://127.0.0.1:1 does not answer")


def test_collections_without_a_model_that_pictures_wait_for_are_told_with_what_to_do(
    store: MemoryStore, registry: Registry, tiny_bundle: TinyBundle
) -> None:
    registry.promote(registry.publish(*tiny_bundle).version)
    alive = [{"awaited": ["cats", "defualt"]}, {"awaited": ["cats", "default"]}, {}]

    told = awaited(alive, store, lambda name: Registry(store, name))

    assert list(told) == ["cats", "defualt"], "default has one meanwhile"
    assert "`shoal train path/to/pictures --collection cats`" in told["cats"]
    assert (
        "`shoal train path/to/pictures --collection defualt --new`. If default was meant," in told["defualt"]
    )
