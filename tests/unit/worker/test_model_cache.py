import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from model_store.layout import Layout
from model_store.object_store import MemoryStore
from model_store.registry import Registry
from model_store.signature import Signer, TrustedKeys
from producer.errors import NoChampion, StoreUnavailable
from tests.tiny_model import TinyBundle
from worker.model_cache import ModelCache

POLL_S = 0.02


class Shop:
    """A registry in memory, and a cache that looks at it."""

    def __init__(self, tiny: TinyBundle) -> None:
        self.store = MemoryStore()
        self.registry = Registry(self.store, "default")
        self.manifest, self.files = tiny
        self.cache = ModelCache(lambda name: Registry(self.store, name), "cpu", POLL_S)

    def publish(self, version: str) -> None:
        self.registry.publish(self.manifest.model_copy(update={"version": version}), self.files)

    def serve(self, version: str) -> None:
        self.publish(version)
        self.registry.promote(version)

    def version(self) -> str:
        return self.cache.get("default", 5).stamp.version


@pytest.fixture
def shop(tiny_bundle: TinyBundle) -> Iterator[Shop]:
    made = Shop(tiny_bundle)
    yield made
    made.cache.close()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "waited 5 s in vain"
        time.sleep(0.01)


def test_without_a_champion_it_says_what_is_waited_for(shop: Shop) -> None:
    with pytest.raises(NoChampion, match="shoal train"):
        shop.cache.get("default", 0.0)


def test_whoever_waits_gets_the_first_champion(shop: Shop) -> None:
    with pytest.raises(NoChampion):
        shop.cache.get("default", 0.0)
    shop.serve("v1")
    assert shop.version() == "v1"


def test_collections_that_messages_wait_for_are_named_until_they_have_a_model(shop: Shop) -> None:
    shop.cache.preload("default")
    assert shop.cache.awaited() == []  # no message has asked yet
    for name in ("default", "cats"):
        with pytest.raises(NoChampion):
            shop.cache.get(name, 0.0)
    assert shop.cache.awaited() == ["cats", "default"]
    shop.serve("v1")
    eventually(lambda: shop.cache.awaited() == ["cats"])


def test_a_moved_champion_is_served_and_a_rollback_too(shop: Shop) -> None:
    shop.serve("v1")
    assert shop.version() == "v1"
    shop.serve("v2")
    eventually(lambda: shop.version() == "v2")
    shop.registry.rollback()
    eventually(lambda: shop.version() == "v1")
    assert shop.cache.get("default", 0).stamp.generation == 3


def test_a_model_in_hand_stays_whole_while_another_takes_its_place(shop: Shop) -> None:
    shop.serve("v1")
    held = shop.cache.get("default", 5)
    shop.serve("v2")
    eventually(lambda: shop.version() == "v2")
    assert held.bundle.manifest.version == held.stamp.version == "v1"


@pytest.mark.parametrize(
    "file", ["encoder.safetensors", "kmeans.safetensors", "clusters.json", "manifest.json"]
)
def test_a_tampered_champion_is_refused_and_the_old_model_serves_on(shop: Shop, file: str) -> None:
    shop.serve("v1")
    assert shop.version() == "v1"
    shop.publish("v2")
    key = Layout("default").model("v2", file)
    whole = shop.store.get(key).data
    tampered = bytearray(whole)
    tampered[len(whole) // 2] ^= 1
    shop.cache.close()  # what happens between the two writes shall not be seen
    shop.registry.promote("v2")
    shop.store.put(key, bytes(tampered))
    slot = shop.cache._slots["default"]
    shop.cache._look("default", slot)
    assert slot.problem
    assert shop.version() == "v1"
    shop.store.put(key, whole)
    slot.said_at = float("-inf")  # it is not downloaded again at every look
    shop.cache._look("default", slot)
    assert shop.version() == "v2"


def test_a_store_that_is_away_for_a_moment_does_not_put_off_the_champion(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.serve("v1")
    shop.cache.close()  # only the looks below count

    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as moment:
        moment.setattr(shop.store, "get_many", away)
        with pytest.raises(NoChampion, match="away"):
            shop.cache.get("default", 0.0)
    shop.cache._look("default", shop.cache._slots["default"])
    assert shop.version() == "v1"


def test_serving_tells_each_collections_model(shop: Shop) -> None:
    shop.serve("v1")
    shop.version()
    assert {name: stamp.version for name, stamp in shop.cache.serving().items()} == {"default": "v1"}


def test_a_champion_that_no_pinned_key_signed_does_not_replace_the_old_one(shop: Shop) -> None:
    signer = Signer.generate()
    trusting = Registry(shop.store, "default", trusted=TrustedKeys([signer.public_key]), signer=signer)
    manifest = shop.manifest

    def serve_signed(version: str) -> None:
        trusting.publish(manifest.model_copy(update={"version": version}), shop.files)
        trusting.promote(version)

    serve_signed("v1")
    with contextlib.closing(ModelCache(lambda _: trusting, "cpu", POLL_S)) as cache:
        assert cache.get("default", 5).stamp.version == "v1"
        shop.serve("v2")  # by somebody who can write to the bucket, and has no key
        eventually(lambda: "manifest.sig" in cache._slots["default"].problem)
        assert cache.get("default", 5).stamp.version == "v1"
        serve_signed("v3")
        eventually(lambda: cache.get("default", 5).stamp.version == "v3")


def test_refused_champions_are_counted_once_each_and_told_with_their_reason(shop: Shop) -> None:
    shop.serve("v1")
    assert shop.version() == "v1"
    assert shop.cache.refused() == {}
    shop.cache.close()  # only the looks below count
    slot = shop.cache._slots["default"]
    for version in ("v2", "v3"):
        shop.publish(version)
        shop.registry.promote(version)
        shop.store.delete(Layout("default").model(version, "pca.safetensors"))
        for _ in range(3):
            slot.said_at = float("-inf")
            shop.cache._look("default", slot)
    refusal = shop.cache.refused()["default"]
    assert (refusal.total, refusal.generation) == (2, 3)
    assert "v3 lacks pca.safetensors" in refusal.reason
    shop.registry.rollback()
    shop.registry.promote("v1")
    shop.cache._look("default", slot)
    assert shop.cache.refused()["default"] == (2, None, "")


def test_of_messages_for_many_collections_without_a_model_only_one_waits_long(shop: Shop) -> None:
    def ask(number: int) -> float:
        started = time.monotonic()
        with pytest.raises(NoChampion):
            shop.cache.get(f"empty-{number}", 3.0)
        return time.monotonic() - started

    with ThreadPoolExecutor(8) as threads:
        waits = sorted(threads.map(ask, range(8)))

    assert waits[-1] >= 3.0
    assert sum(wait >= 3.0 for wait in waits) == 1


def test_collections_without_a_model_that_nobody_asks_for_are_forgotten(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.serve("v1")
    shop.version()
    with pytest.raises(NoChampion):
        shop.cache.get("made-up", 0.0)
    assert sorted(shop.cache._slots) == ["default", "made-up"]

    monkeypatch.setattr("worker.model_cache.FORGOTTEN_AFTER_S", 0.0)
    eventually(lambda: list(shop.cache._slots) == ["default"])

    assert shop.version() == "v1"


def test_who_asks_for_the_latest_gets_a_champion_that_moved_a_moment_ago(shop: Shop) -> None:
    shop.serve("v1")
    assert shop.version() == "v1"
    shop.cache.close()  # nobody else looks
    shop.serve("v2")

    assert shop.version() == "v1"
    assert shop.cache.get("default", 5, latest=True).stamp.version == "v2"


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), KeyError("pixels")])
def test_whatever_goes_wrong_while_a_champion_is_built_is_a_refusal_and_is_not_tried_at_every_look(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    shop.serve("v1")
    assert shop.version() == "v1"
    loads = 0

    def fail(*_: object) -> None:
        nonlocal loads
        loads += 1
        raise error

    monkeypatch.setattr(Registry, "load", fail)
    shop.serve("v2")
    slot = shop.cache._slots["default"]
    eventually(lambda: bool(shop.cache.refused()))
    for _ in range(5):
        shop.cache._look("default", slot)

    assert loads == 1
    assert shop.cache.refused()["default"].total == 1
    assert type(error).__name__ in shop.cache.refused()["default"].reason
    assert shop.version() == "v1"
