from collections.abc import Callable

import pytest

from model_store.layout import Layout
from model_store.object_store import MemoryStore, StoredObject
from model_store.registry import Alias, Registry, Target
from producer.errors import BundleInvalid, NoChampion, PreconditionFailed
from tests.racing import RACERS, SlowStore, race
from tests.tiny_model import TinyBundle

LAYOUT = Layout("default")


class Interrupted(MemoryStore):
    """Does something else, once, after the next read."""

    interruption: Callable[[], object] | None = None

    def get(self, key: str) -> StoredObject:
        found = super().get(key)
        if self.interruption is not None:
            act, self.interruption = self.interruption, None
            act()
        return found


Publish = Callable[[str], Target]


def test_twelve_racing_promoters_get_one_generation_each(tiny_bundle: TinyBundle) -> None:
    manifest, files = tiny_bundle
    registry = Registry(SlowStore(), "default")
    for racer in range(RACERS):
        registry.publish(manifest.model_copy(update={"version": f"v{racer}"}), files)

    outcomes = race(lambda racer: registry.promote(f"v{racer}"))

    moves = {alias.generation: alias for alias in outcomes if isinstance(alias, Alias)}
    assert sorted(moves) == list(range(1, RACERS + 1))
    assert registry.current() == moves[RACERS]
    before = [moves[generation].version for generation in range(1, RACERS)]
    after = [moves[generation].previous for generation in range(2, RACERS + 1)]
    assert [target.version for target in after if target] == before  # each knows whom it replaced


def test_of_racing_promoters_that_expect_no_champion_one_wins(registry: Registry, publish: Publish) -> None:
    publish("v1")

    outcomes = race(lambda _: registry.promote("v1", expected_generation=0))

    assert sum(isinstance(outcome, Alias) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, PreconditionFailed) for outcome in outcomes) == RACERS - 1
    assert registry.current().generation == 1


def test_a_promotion_that_expects_an_older_champion_is_refused(registry: Registry, publish: Publish) -> None:
    publish("v1")
    publish("v2")
    seen = registry.promote("v1").generation
    registry.promote("v2")

    with pytest.raises(PreconditionFailed, match="generation 2"):
        registry.promote("v1", expected_generation=seen)

    assert registry.current().version == "v2"


def test_rollback_goes_back_once_and_never_forward_again(registry: Registry, publish: Publish) -> None:
    publish("v1")
    publish("v2")
    registry.promote("v1")
    registry.promote("v2")

    back = registry.rollback()

    assert (back.version, back.generation) == ("v1", 3)
    with pytest.raises(NoChampion, match="promote a version by its name"):
        registry.rollback()
    assert registry.load(registry.current(), "cpu").manifest.version == "v1"


def test_promoting_the_champion_again_keeps_the_way_back(registry: Registry, publish: Publish) -> None:
    publish("v1")
    publish("v2")
    registry.promote("v1")
    registry.promote("v2")

    again = registry.promote("v2")

    assert again.generation == 2
    assert registry.rollback().version == "v1"


def test_rollback_does_not_undo_a_promotion_that_it_has_not_seen(tiny_bundle: TinyBundle) -> None:
    manifest, files = tiny_bundle
    store = Interrupted()
    registry = Registry(store, "default")
    for version in ("v1", "v2", "v3"):
        registry.publish(manifest.model_copy(update={"version": version}), files)
    registry.promote("v1")
    registry.promote("v2")

    store.interruption = lambda: registry.promote("v3")
    with pytest.raises(PreconditionFailed, match="generation 3"):
        registry.rollback()

    assert registry.current().version == "v3"


def test_previous_shows_where_rollback_goes(registry: Registry, publish: Publish) -> None:
    publish("v1")
    publish("v2")
    registry.promote("v1")
    registry.promote("v2")

    before = registry.alias("previous")

    assert before is not None
    assert before.version == registry.rollback().version == "v1"
    after = registry.alias("previous")
    assert after is not None
    assert after.version == "v2"


def test_there_is_no_rollback_from_the_first_champion(registry: Registry, publish: Publish) -> None:
    publish("v1")
    registry.promote("v1")

    with pytest.raises(NoChampion, match="v1 has nothing to go back to"):
        registry.rollback()


def test_a_challenger_serves_nobody(registry: Registry, publish: Publish) -> None:
    registry.set_challenger(publish("v1"), reason="silhouette")

    challenger = registry.alias("challenger")

    assert challenger is not None
    assert (challenger.version, challenger.reason) == ("v1", "silhouette")
    assert registry.alias("champion") is None


def test_collections_have_champions_of_their_own(
    store: MemoryStore, registry: Registry, publish: Publish
) -> None:
    publish("v1")
    registry.promote("v1")

    assert Registry(store, "default2").alias("champion") is None


def test_an_alias_that_cannot_be_read_is_said_so(store: MemoryStore, registry: Registry) -> None:
    store.put(LAYOUT.alias("champion"), b"{")

    with pytest.raises(BundleInvalid, match=r"aliases/champion\.json cannot be read"):
        registry.current()


def test_a_champion_whose_promoter_died_before_the_note_is_in_the_history_all_the_same(
    store: MemoryStore, registry: Registry, publish: Publish
) -> None:
    for number in (1, 2, 3):
        publish(f"v{number}")
        registry.promote(f"v{number}", reason=f"reason {number}")
        store.delete(LAYOUT.alias_move(number))

    assert [(alias.generation, alias.reason) for alias in registry.moves()] == [
        (1, "reason 1"),
        (2, "reason 2"),
        (3, "reason 3"),
    ]
