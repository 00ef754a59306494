from collections.abc import Iterable, Iterator

import pytest

from model_store.byte_budget import ByteBudget, SplitBudget
from model_store.images import ImageSource, Unfetchable
from model_store.object_store import ANY_SIZE, Get, MemoryStore, StoredObject
from producer.contracts import ImageRef
from producer.errors import AccessDenied, ShoalError, StoreUnavailable


def ref(key: str, bucket: str = "uploads", etag: str | None = None) -> ImageRef:
    return ImageRef(image_id="img", bucket=bucket, key=key, etag=etag)


class Answering(MemoryStore):
    """Answers every read with the same error; counts them."""

    def __init__(self, error: ShoalError) -> None:
        super().__init__()
        self.error = error
        self.n_reads = 0

    def get_many(
        self, gets: Iterable[Get], *, max_bytes: int = ANY_SIZE, budget: ByteBudget | None = None
    ) -> Iterator[tuple[int, StoredObject | ShoalError]]:
        for position, _ in enumerate(gets):
            self.n_reads += max_bytes > 0
            yield position, self.error


@pytest.fixture
def uploads() -> MemoryStore:
    store = MemoryStore()
    store.put_many({"a.jpg": b"aaa", "b.jpg": b"bbb", "large.jpg": b"x" * 11})
    return store


def test_pictures_of_allowed_buckets_are_read_to_their_positions(uploads: MemoryStore) -> None:
    other = MemoryStore()
    other.put("a.jpg", b"other")
    source = ImageSource({"uploads": uploads, "more": other}, max_bytes=10)

    fetched = dict(source.fetch([ref("b.jpg"), ref("a.jpg", "more"), ref("a.jpg"), ref("b.jpg")]))

    data = [getattr(fetched[position], "data", None) for position in range(4)]
    assert data == [b"bbb", b"other", b"aaa", b"bbb"]


def test_a_bucket_that_is_not_allowed_is_denied_without_asking_any_store(uploads: MemoryStore) -> None:
    fetched = dict(ImageSource({"uploads": uploads}, 10).fetch([ref("a.jpg", "shoal"), ref("a.jpg")]))

    assert isinstance(fetched[0], Unfetchable)
    assert fetched[0].code == "fetch.denied"
    assert "shoal" in fetched[0].detail
    assert isinstance(fetched[1], StoredObject)


def test_each_fault_of_a_reference_has_its_code(uploads: MemoryStore) -> None:
    refs = [ref("absent.jpg"), ref("a.jpg", etag="another"), ref("large.jpg")]

    fetched = dict(ImageSource({"uploads": uploads}, max_bytes=10).fetch(refs))

    codes = [getattr(fetched[position], "code", None) for position in range(3)]
    assert codes == ["fetch.not_found", "fetch.changed", "fetch.too_large"]


def test_a_refusal_of_the_store_is_denied() -> None:
    [(_, outcome)] = ImageSource({"uploads": Answering(AccessDenied("no"))}, 10).fetch([ref("a.jpg")])

    assert outcome == Unfetchable("fetch.denied", "no")


def test_a_failure_that_may_pass_is_no_fault_of_the_reference() -> None:
    error = StoreUnavailable("down")

    [(_, outcome)] = ImageSource({"uploads": Answering(error)}, 10).fetch([ref("a.jpg")])

    assert outcome is error


def test_an_etag_that_still_fits_is_read(uploads: MemoryStore) -> None:
    etag = uploads.get("a.jpg").etag

    [(_, outcome)] = ImageSource({"uploads": uploads}, 10).fetch([ref("a.jpg", etag=etag)])

    assert outcome == StoredObject(b"aaa", etag)


def test_no_references_give_no_outcomes(uploads: MemoryStore) -> None:
    assert list(ImageSource({"uploads": uploads}, 10).fetch([])) == []


def test_what_is_urgent_takes_its_bytes_from_a_budget_that_others_never_hold(uploads: MemoryStore) -> None:
    asked: list[ByteBudget | None] = []

    class Asked(MemoryStore):
        def get_many(
            self, gets: Iterable[Get], *, max_bytes: int = ANY_SIZE, budget: ByteBudget | None = None
        ) -> Iterator[tuple[int, StoredObject | ShoalError]]:
            asked.append(budget)
            return uploads.get_many(gets, max_bytes=max_bytes, budget=budget)

    budget = SplitBudget.of(40)
    source = ImageSource({"uploads": Asked()}, 10, budget)

    for urgent in (True, False):
        list(source.fetch([ref("a.jpg")], urgent=urgent))

    assert asked == [budget.urgent, budget.other]
    assert [(each.limit_bytes, each.held_bytes) for each in budget] == [(10, 3), (30, 3)]
