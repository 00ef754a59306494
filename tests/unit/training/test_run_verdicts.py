"""What stands in a run's record is what became of its version, whatever was lost on the way."""

from collections.abc import Callable
from pathlib import Path

import pytest

from model_store.layout import Layout
from producer.errors import StoreUnavailable
from tests.unit.training.retrainings import Place, place
from tests.watched_stores import Killed, Mortal

SLOT = "slot"
DEFAULT = Layout("default")

pytestmark = pytest.mark.usefixtures("one_thread")


class AnswersLost(Mortal):
    """Does what it is asked once, and says that it could not be reached."""

    lost: str | None = None

    def put(self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None) -> str:
        etag = super().put(key, data, create_only=create_only, if_match=if_match)
        if key == self.lost:
            self.lost = None
            raise StoreUnavailable("no answer within 60 s")
        return etag


def die_before(store: Mortal, part: str) -> None:
    def step_in(key: str) -> None:
        if part in key:
            store.before = None
            raise Killed

    store.before = step_in


def killed(run: Callable[[], object]) -> None:
    with pytest.raises(Killed):
        run()


def history(there: Place) -> list[int]:
    return [alias.generation for alias in there.registry.moves()]


@pytest.mark.parametrize("lost", [DEFAULT.alias("champion"), DEFAULT.alias_move(1)])
def test_an_answer_lost_while_it_is_promoted_does_not_make_it_a_failure(tmp_path: Path, lost: str) -> None:
    store = AnswersLost()
    there = place(tmp_path, store=store)
    store.lost = lost

    ended = there.retraining().run(SLOT)

    record = there.runs.get(SLOT)
    assert ended == record
    assert (record.state, record.reason) == ("promoted", "passed every gate")
    assert there.registry.current().version == record.version
    assert history(there) == [1]


def test_a_challenger_whose_answer_was_lost_is_one(tmp_path: Path) -> None:
    store = AnswersLost()
    there = place(tmp_path, store=store, promotion={"max_share": 0.01})
    store.lost = DEFAULT.alias("challenger")

    there.retraining().run(SLOT)

    assert there.runs.get(SLOT).state == "challenger"


def test_promoted_and_dead_twice_it_is_recorded_as_promoted_and_leaves_nothing(tmp_path: Path) -> None:
    there = place(tmp_path)
    there.store.die_at = len(there.store.changes) + 3
    killed(lambda: there.retraining().run(SLOT))
    there.store.die_at = None
    die_before(there.store, "aliases/moves")
    killed(lambda: there.retraining().take_up(there.runs.get(SLOT)))

    there.retraining().take_up(there.runs.get(SLOT))

    record = there.runs.get(SLOT)
    assert record.state == "promoted"
    assert there.registry.current().version == record.version
    assert "died 2 times" in record.reason
    assert history(there) == [1]
    assert [info.key for info in there.store.list(DEFAULT.runs())] == [DEFAULT.run(SLOT)]


def test_dead_twice_before_it_was_promoted_it_has_failed_and_leaves_nothing(tmp_path: Path) -> None:
    there = place(tmp_path)
    there.store.die_at = len(there.store.changes) + 3
    killed(lambda: there.retraining().run(SLOT))
    there.store.die_at = len(there.store.changes) + 3
    killed(lambda: there.retraining().take_up(there.runs.get(SLOT)))
    there.store.die_at = None

    there.retraining().take_up(there.runs.get(SLOT))

    assert there.runs.get(SLOT).state == "failed"
    assert [info.key for info in there.store.list(DEFAULT.runs())] == [DEFAULT.run(SLOT)]
