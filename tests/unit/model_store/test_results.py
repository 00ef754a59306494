from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from model_store.layout import Layout
from model_store.object_store import MemoryStore
from model_store.results import Results, supersedes
from producer.contracts import Cluster, ModelStamp, Result
from producer.errors import AccessDenied, ObjectNotFound, ShoalError
from producer.ulid import new_ulid
from tests.racing import RACERS, SlowStore, race

FIRST, SECOND, THIRD = (new_ulid(1_790_000_000 + n) for n in range(3))


def result(
    image_id: str = "img_1", *, message_id: str = FIRST, generation: int | None = 1, cluster: str = "c_9f2k"
) -> Result:
    stamp = None if generation is None else ModelStamp(version="v1", sha256="0", generation=generation)
    return Result(
        image_id=image_id,
        collection="default",
        status="assigned",
        cluster=Cluster(id=cluster, index=0),
        model=stamp,
        message_id=message_id,
        classified_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.fixture
def results(store: MemoryStore) -> Results:
    return Results(store, "default")


def test_a_result_is_read_back_as_written(results: Results) -> None:
    results.save([result()])

    assert results.get("img_1") == result()


def test_a_redelivered_message_leaves_one_result_per_picture(store: MemoryStore, results: Results) -> None:
    message = [result("img_1"), result("img_2")]

    results.save(message)
    results.save(message)

    assert [info.key for info in store.list()] == [
        Layout("default").result(image_id) for image_id in ("img_1", "img_2")
    ]


@pytest.mark.parametrize("status", ["failed", "rejected"])
def test_a_redelivery_that_comes_too_late_does_not_take_an_answer_back(results: Results, status: str) -> None:
    results.save([result()])

    results.save([result().model_copy(update={"status": status, "cluster": None})])
    assert results.get("img_1").status == "assigned"

    results.save([result(message_id=SECOND).model_copy(update={"status": status, "cluster": None})])
    assert results.get("img_1").status == status


def test_a_redelivery_after_a_retry_keeps_the_later_answer(results: Results) -> None:
    results.save([result(cluster="c_1st")])
    results.save([result(cluster="c_2nd")])

    assert results.get("img_1") == result(cluster="c_2nd")


def test_a_result_of_an_older_model_does_not_replace_a_newer_ones(results: Results) -> None:
    newer = result(message_id=FIRST, generation=2)
    results.save([newer])

    results.save([result(message_id=SECOND, generation=1)])

    assert results.get("img_1") == newer


def test_a_result_of_a_newer_model_replaces_an_older_ones(results: Results) -> None:
    results.save([result(message_id=SECOND, generation=1)])

    results.save([result(message_id=FIRST, generation=2)])

    assert results.get("img_1") == result(message_id=FIRST, generation=2)


def test_under_the_same_model_the_later_message_counts(results: Results) -> None:
    for message_id in (SECOND, THIRD, FIRST):  # the first is delivered again, last
        results.save([result(message_id=message_id)])

    assert results.get("img_1") == result(message_id=THIRD)


def test_a_result_without_a_model_replaces_none_with_one(results: Results) -> None:
    results.save([result(generation=1)])

    results.save([result(message_id=SECOND, generation=None)])

    assert results.get("img_1") == result(generation=1)


def test_one_older_result_does_not_hold_up_its_neighbours(results: Results) -> None:
    results.save([result("img_1", generation=5)])

    results.save([result(f"img_{n}", generation=4) for n in range(3)])

    kept = [results.get(f"img_{n}").model for n in range(3)]
    assert [stamp.generation for stamp in kept if stamp] == [4, 5, 4]


def test_of_racing_writers_the_newest_message_stays() -> None:
    results = Results(SlowStore(), "default")
    messages = [new_ulid(1_790_000_000 + n) for n in range(RACERS)]

    outcomes = race(lambda racer: results.save([result(message_id=messages[(racer * 5) % RACERS])]))

    assert outcomes == [None] * RACERS
    assert results.get("img_1") == result(message_id=messages[-1])


def test_of_racing_writers_the_newest_model_stays() -> None:
    results = Results(SlowStore(), "default")

    outcomes = race(lambda racer: results.save([result(generation=(racer * 5) % RACERS + 1)]))

    assert outcomes == [None] * RACERS
    assert results.get("img_1") == result(generation=RACERS)


def test_a_picture_without_a_result_is_not_found_by_its_name(results: Results) -> None:
    with pytest.raises(ObjectNotFound, match=r"img_7 has no result in collection default \(yet\)"):
        results.get("img_7")


def test_get_many_gives_those_that_exist(results: Results) -> None:
    results.save([result("img_1"), result("img_3")])

    found = {item.image_id for item in results.get_many(["img_1", "img_2", "img_3"])}

    assert found == {"img_1", "img_3"}


def test_a_store_that_refuses_is_not_taken_for_a_lost_race() -> None:
    class Refusing(MemoryStore):
        def put_many(
            self, items: Mapping[str, bytes], *, create_only: bool = False
        ) -> dict[str, str | ShoalError]:
            return dict.fromkeys(items, AccessDenied(f"create_only={create_only}"))

    with pytest.raises(AccessDenied):
        Results(Refusing(), "default").save([result()])


@pytest.mark.parametrize(
    ("new", "old", "answer"),
    [
        (result(generation=2), result(generation=1), True),
        (result(generation=1), result(generation=2), False),
        (result(message_id=SECOND), result(message_id=FIRST), True),
        (result(message_id=FIRST), result(message_id=SECOND), False),
        (result(message_id=FIRST, generation=2), result(message_id=SECOND, generation=1), True),
        (result(), result(), True),
        (result(generation=None), result(generation=1), False),
    ],
)
def test_the_model_ranks_before_the_message(new: Result, old: Result, *, answer: bool) -> None:
    assert supersedes(new, old) is answer
