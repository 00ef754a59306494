import json
from collections.abc import Iterator

import pytest

from model_store.layout import Layout
from model_store.manifest import Gate
from model_store.object_store import MemoryStore
from producer.errors import InvalidReference, ObjectNotFound
from tests.racing import race
from tests.unit.training.begun_runs import SLOT, begun
from training.run_lease import RunLease
from training.run_record import RunRecord
from training.runs import Runs


def test_a_run_is_on_record_before_it_has_done_anything(runs: Runs) -> None:
    record = begun(runs).record

    assert record == runs.get(SLOT)
    assert (record.state, record.attempt, record.ended_at) == ("running", 1, None)


def test_of_racing_beats_one_begins_the_run(runs: Runs) -> None:
    leases = [lease for lease in race(lambda _: runs.begin(SLOT)) if lease is not None]

    assert len(leases) == 1
    assert isinstance(leases[0], RunLease)
    assert runs.get(SLOT) == leases[0].record


def test_five_beats_for_ten_slots_begin_ten_runs(runs: Runs) -> None:
    slots = [f"slot-{n}" for n in range(10)]

    answers = race(lambda _: [runs.begin(slot) for slot in slots])

    leases = [lease for answer in answers if isinstance(answer, list) for lease in answer if lease]
    assert len(leases) == 10
    assert [record.slot for record in runs.all()] == slots


def test_a_run_that_ended_is_neither_begun_nor_taken_up_again(runs: Runs) -> None:
    ended = begun(runs).end(state="failed", reason="no pictures")

    assert runs.begin(SLOT) is None
    assert runs.take_up(runs.get(SLOT)) is None
    assert runs.get(SLOT) == ended


def test_the_end_tells_when_how_and_why(runs: Runs) -> None:
    gate = Gate(name="silhouette", passed=False, reason="silhouette 0.1, champion 0.3")

    begun(runs).end(state="challenger", reason=gate.reason, gates=(gate,))

    read = runs.get(SLOT)
    assert (read.state, read.reason, read.gates) == ("challenger", gate.reason, (gate,))
    assert read.ended_at is not None
    assert read.started_at <= read.ended_at


def test_only_changed_records_are_read_again() -> None:
    class Counting(MemoryStore):
        reads = 0

        def get(self, key: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
            self.reads += 1
            return super().get(key)

    store = Counting()
    runs = Runs(store, "default")
    leases = [begun(runs, f"slot-{n}") for n in range(5)]
    list(runs.all())
    store.reads = 0
    leases[3].save()

    assert [record.heartbeat for record in runs.all()] == [0, 0, 0, 1, 0]
    assert store.reads == 1


def test_what_lies_beside_the_records_is_no_record(store: MemoryStore, runs: Runs) -> None:
    begun(runs)
    store.put(Layout("default").run_file(SLOT, "report.json"), b"{}")

    assert [record.slot for record in runs.all()] == [SLOT]


@pytest.mark.parametrize("slot", ["", "../models/x", "a/b", "a\nb"])
def test_a_slot_that_would_lead_elsewhere_is_refused(runs: Runs, slot: str) -> None:
    with pytest.raises(InvalidReference):
        runs.begin(slot)


def test_collections_have_runs_of_their_own(store: MemoryStore) -> None:
    begun(Runs(store, "default"))

    assert Runs(store, "other").begin(SLOT) is not None


def test_a_run_that_never_was_is_not_found(runs: Runs) -> None:
    with pytest.raises(ObjectNotFound, match=SLOT):
        runs.get(SLOT)


def fields_of_the_first_version() -> Iterator[str]:
    yield from ("collection", "slot", "state", "reason", "version", "gates", "n_images", "started_at")


def test_a_record_of_the_first_version_or_with_a_later_field_can_be_read(store: MemoryStore) -> None:
    record = json.loads(RunRecord(collection="default", slot=SLOT).model_dump_json())
    old = {name: record[name] for name in fields_of_the_first_version()} | {"report": "x"}
    store.put(Layout("default").run(SLOT), json.dumps(old).encode())

    assert Runs(store, "default").get(SLOT).attempt == 1
