import pytest

from model_store.layout import Layout
from model_store.manifest import Gate
from model_store.object_store import MemoryStore
from producer.errors import ObjectNotFound
from tests.racing import RACERS, race
from training.run_record import RunRecord, Runs

SLOT = "20261123T030000Z"


@pytest.fixture
def runs() -> Runs:
    return Runs(MemoryStore(), "default")


def test_a_run_is_on_record_before_it_has_done_anything(runs: Runs) -> None:
    record = runs.begin(SLOT)

    assert record == runs.get(SLOT)
    assert record is not None
    assert (record.state, record.collection, record.ended_at) == ("running", "default", None)


def test_of_racing_beats_one_begins_the_run(runs: Runs) -> None:
    records = race(lambda _: runs.begin(SLOT))

    begun = [record for record in records if record is not None]
    assert len(begun) == 1
    assert records.count(None) == RACERS - 1
    assert runs.get(SLOT) == begun[0]


def test_a_run_that_ended_is_not_begun_again(runs: Runs) -> None:
    record = runs.begin(SLOT)
    assert record is not None
    ended = runs.end(record.model_copy(update={"state": "failed", "reason": "no pictures"}))

    assert runs.begin(SLOT) is None
    assert runs.get(SLOT) == ended


def test_the_end_tells_when_how_and_why(runs: Runs) -> None:
    record = runs.begin(SLOT)
    assert record is not None
    gate = Gate(name="silhouette", passed=False, reason="silhouette 0.1, champion 0.3")

    runs.end(record.model_copy(update={"state": "challenger", "reason": gate.reason, "gates": (gate,)}))

    read = runs.get(SLOT)
    assert (read.state, read.reason, read.gates) == ("challenger", gate.reason, (gate,))
    assert read.ended_at is not None
    assert read.started_at == record.started_at <= read.ended_at


def test_slots_and_collections_have_runs_of_their_own() -> None:
    store = MemoryStore()
    Runs(store, "default").begin(SLOT)

    assert Runs(store, "other").begin(SLOT) is not None
    assert Runs(store, "default").begin("20261124T030000Z") is not None


def test_a_run_that_never_was_is_not_found(runs: Runs) -> None:
    with pytest.raises(ObjectNotFound, match=SLOT):
        runs.get(SLOT)


def test_a_field_of_a_later_version_is_ignored() -> None:
    store = MemoryStore()
    record = RunRecord(collection="default", slot=SLOT)
    store.put(Layout("default").run(SLOT), record.model_dump_json().encode()[:-1] + b',"report":"x"}')

    assert Runs(store, "default").get(SLOT) == record
