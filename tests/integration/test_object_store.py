"""What every ObjectStore promises, asked of both: the fake in memory and the real one."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from model_store.object_store import Get, MemoryStore, ObjectStore, StoredObject
from producer.errors import ObjectNotFound, PreconditionFailed, ShoalError, TooLarge
from tests.racing import race

N_LISTED = 1_050  # S3 gives 1,000 a page
ODD_KEYS = (
    "a b.jpg",
    "ü/#%41.jpg",
    "a?b&c=+.jpg",
    "%2F%20.png",
    "日本/画像.png",
    "e\u0301.jpg",  # not normalised to é
    "quotes'\"<>&.xml",
    "tab\tnewline\n.jpg",
    "a*{}|^`~!$,;=@[]().png",
    " leading and trailing ",
    "a/..b/...c",
    "x" * 200 + "/" + "y" * 200,
)
LOOKALIKES = ("a b", "a+b", "a%20b", "a%2520b", "A b", "é", "e\u0301", "a/b", "a%2Fb", "a|b", "a.b", "ab")


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    if request.param == "memory":
        return MemoryStore()
    real: ObjectStore = request.getfixturevalue("s3_store")
    return real


def keys(store: ObjectStore, prefix: str, start_after: str = "") -> list[str]:
    return [info.key for info in store.list(prefix, start_after=start_after)]


@pytest.mark.parametrize("data", [b"", b"text", bytes(range(256)) * 4096])
def test_bytes_and_etag_are_read_back_as_written(store: ObjectStore, prefix: str, data: bytes) -> None:
    etag = store.put(prefix + "object", data)

    assert store.get(prefix + "object") == StoredObject(data, etag)
    assert '"' not in etag


def test_put_replaces_the_whole_object_and_its_etag(store: ObjectStore, prefix: str) -> None:
    before = store.put(prefix + "object", b"a longer text")
    after = store.put(prefix + "object", b"short")

    assert store.get(prefix + "object") == StoredObject(b"short", after)
    assert before != after


def test_an_absent_key_is_not_found(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(ObjectNotFound, match="absent"):
        store.get(prefix + "absent")


def test_of_twelve_racing_creations_one_wins(store: ObjectStore, prefix: str) -> None:
    outcomes = race(lambda racer: store.put(prefix + "one", b"%d" % racer, create_only=True))

    winners = [racer for racer, outcome in enumerate(outcomes) if isinstance(outcome, str)]
    assert len(winners) == 1
    assert sum(isinstance(outcome, PreconditionFailed) for outcome in outcomes) == 11
    assert store.get(prefix + "one").data == b"%d" % winners[0]


def test_of_twelve_racing_swaps_one_wins(store: ObjectStore, prefix: str) -> None:
    etag = store.put(prefix + "one", b"before")

    outcomes = race(lambda racer: store.put(prefix + "one", b"%d" % racer, if_match=etag))

    winners = [racer for racer, outcome in enumerate(outcomes) if isinstance(outcome, str)]
    assert len(winners) == 1
    assert sum(isinstance(outcome, PreconditionFailed) for outcome in outcomes) == 11
    assert store.get(prefix + "one").data == b"%d" % winners[0]


def test_create_only_leaves_what_is_there(store: ObjectStore, prefix: str) -> None:
    store.put(prefix + "object", b"first")

    with pytest.raises(PreconditionFailed):
        store.put(prefix + "object", b"second", create_only=True)

    assert store.get(prefix + "object").data == b"first"


def test_a_swap_of_a_changed_object_writes_nothing(store: ObjectStore, prefix: str) -> None:
    etag = store.put(prefix + "object", b"first")
    store.put(prefix + "object", b"second")

    with pytest.raises(PreconditionFailed):
        store.put(prefix + "object", b"third", if_match=etag)

    assert store.get(prefix + "object").data == b"second"


def test_a_swap_of_an_absent_object_writes_nothing(store: ObjectStore, prefix: str) -> None:
    etag = store.put(prefix + "object", b"first")
    store.delete(prefix + "object")

    with pytest.raises(PreconditionFailed):
        store.put(prefix + "object", b"second", if_match=etag)

    assert keys(store, prefix) == []


def test_get_many_gives_each_position_its_own_outcome(store: ObjectStore, prefix: str) -> None:
    etag = store.put(prefix + "small", b"123")
    store.put(prefix + "large", b"12345")
    gets = [
        Get(prefix + "large"),
        Get(prefix + "small"),
        Get(prefix + "absent"),
        Get(prefix + "small", if_match="0" * 32),
        Get(prefix + "small", if_match=etag),
    ]

    outcomes = dict(store.get_many(gets, max_bytes=4))

    kinds: list[type[StoredObject | ShoalError]] = [type(outcomes[position]) for position in range(5)]
    assert kinds == [TooLarge, StoredObject, ObjectNotFound, PreconditionFailed, StoredObject]
    assert outcomes[1] == outcomes[4] == StoredObject(b"123", etag)


def test_get_many_answers_every_position_whatever_the_order_asked(store: ObjectStore, prefix: str) -> None:
    store.put_many({f"{prefix}{n}": b"%d" % n for n in range(40)})
    shuffled = [(n * 17) % 40 for n in range(40)] + [0, 0]

    outcomes = dict(store.get_many(Get(f"{prefix}{n}") for n in shuffled))

    found = [outcomes[position] for position in range(42)]
    assert [item.data for item in found if isinstance(item, StoredObject)] == [b"%d" % n for n in shuffled]


def test_folders_are_listed_once_whatever_their_names_have_in_common(store: ObjectStore, prefix: str) -> None:
    for key in ("job/part-1", "job/part-2", "job.2/part-1", "job-2/deep/er", "plain", "z/last"):
        store.put(prefix + key, b"")

    assert sorted(store.folders(prefix)) == ["job", "job-2", "job.2", "z"]
    assert list(store.folders(prefix + "absent/")) == []


def test_more_folders_than_one_answer_holds_are_all_listed(store: ObjectStore, prefix: str) -> None:
    store.put_many({f"{prefix}{n:04}/object": b"" for n in range(1010)})

    assert list(store.folders(prefix)) == [f"{n:04}" for n in range(1010)]


def test_get_many_of_nothing_gives_nothing(store: ObjectStore) -> None:
    assert list(store.get_many([])) == []


def test_an_object_of_exactly_the_limit_is_read(store: ObjectStore, prefix: str) -> None:
    store.put(prefix + "object", b"1234")

    [(_, outcome)] = store.get_many([Get(prefix + "object")], max_bytes=4)

    assert isinstance(outcome, StoredObject)


def test_put_many_writes_the_others_when_one_exists(store: ObjectStore, prefix: str) -> None:
    store.put(prefix + "b", b"old")

    outcomes = store.put_many({prefix + name: b"new" for name in "abc"}, create_only=True)

    assert isinstance(outcomes[prefix + "b"], PreconditionFailed)
    assert [store.get(prefix + name).data for name in "abc"] == [b"new", b"old", b"new"]
    assert outcomes[prefix + "a"] == store.get(prefix + "a").etag


@pytest.mark.parametrize("odd", ODD_KEYS)
def test_an_odd_key_is_read_listed_and_deleted_as_it_is(store: ObjectStore, prefix: str, odd: str) -> None:
    key = prefix + odd
    store.put(key, b"odd")

    assert store.get(key).data == b"odd"
    assert keys(store, prefix) == [key]
    store.delete(key)
    assert keys(store, prefix) == []


def test_keys_that_look_alike_are_different_objects(store: ObjectStore, prefix: str) -> None:
    store.put_many({prefix + key: key.encode() for key in LOOKALIKES})

    assert {key: store.get(prefix + key).data.decode() for key in LOOKALIKES} == {
        key: key for key in LOOKALIKES
    }
    assert sorted(keys(store, prefix)) == sorted(prefix + key for key in LOOKALIKES)


def test_a_listing_past_a_thousand_keys_is_whole_and_in_order(store: ObjectStore, prefix: str) -> None:
    expected = [f"{prefix}{n:05}" for n in range(N_LISTED)]
    store.put_many(dict.fromkeys(reversed(expected), b"x"))

    assert keys(store, prefix) == expected
    assert keys(store, prefix, start_after=expected[999]) == expected[1000:]
    assert [info.key for info in islice(store.list(prefix), 3)] == expected[:3]


def test_a_listing_tells_sizes_etags_and_times(store: ObjectStore, prefix: str) -> None:
    etag = store.put(prefix + "object", b"12345")

    [info] = store.list(prefix)

    assert (info.size_bytes, info.etag) == (5, etag)
    assert abs(datetime.now(UTC) - info.modified_at) < timedelta(minutes=2)


def test_a_prefix_need_not_end_at_a_slash(store: ObjectStore, prefix: str) -> None:
    store.put_many(dict.fromkeys((prefix + "ab/1", prefix + "abc", prefix + "b"), b"x"))

    assert sorted(keys(store, prefix + "ab")) == [prefix + "ab/1", prefix + "abc"]


def test_start_after_need_not_be_a_key(store: ObjectStore, prefix: str) -> None:
    store.put_many(dict.fromkeys((prefix + "a", prefix + "c"), b"x"))

    assert keys(store, prefix, start_after=prefix + "b") == [prefix + "c"]


def test_deleting_what_is_not_there_is_no_error(store: ObjectStore, prefix: str) -> None:
    store.delete(prefix + "absent")

    assert keys(store, prefix) == []


def test_a_deletion_of_a_changed_object_removes_nothing(store: ObjectStore, prefix: str) -> None:
    etag = store.put(prefix + "object", b"first")
    store.put(prefix + "object", b"second")

    with pytest.raises(PreconditionFailed):
        store.delete(prefix + "object", if_match=etag)

    assert store.get(prefix + "object").data == b"second"


def test_a_deletion_under_the_right_etag_removes_it_once(store: ObjectStore, prefix: str) -> None:
    etag = store.put(prefix + "object", b"first")

    store.delete(prefix + "object", if_match=etag)

    assert keys(store, prefix) == []
    with pytest.raises(PreconditionFailed):
        store.delete(prefix + "object", if_match=etag)
