"""Every object is listed, in pages of any size and from any page on; some keys are folders of others."""

from collections.abc import Iterator

import pytest

from model_store.listing import pages
from model_store.object_store import MemoryStore, ObjectStore

NESTED = (
    *("B", "a", "a b", "a-b", "a.b", "a/b", "a/b!", "a/b-c", "a/b.d", "a/b/c", "a/b/c-1", "a/b/c/d/e", "a/c"),
    *("b", "m/", "m/x", "zz!1", "zz-1", "zz/1", "é", "é/x"),
)


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    if request.param == "memory":
        return MemoryStore()
    real: ObjectStore = request.getfixturevalue("s3_store")
    return real


@pytest.fixture
def expected(store: ObjectStore, prefix: str) -> Iterator[set[str]]:
    for key in NESTED:  # one by one: SeaweedFS 4.48 may lose `a` when `a/b` is written at the same time
        store.put(prefix + key, b"x")
    yield {prefix + key for key in NESTED}
    for (
        key
    ) in NESTED:  # SeaweedFS does not answer for `m/` as it should: who reads the bucket stumbles over it
        store.delete(prefix + key)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_every_object_is_listed_once(store: ObjectStore, prefix: str, expected: set[str], size: int) -> None:
    listed = [info.key for page in pages(store, prefix, size=size) for info in page.objects]
    assert sorted(listed) == sorted(expected)


@pytest.mark.parametrize("size", [1, 3])
def test_a_listing_taken_up_after_any_page_misses_nothing(
    store: ObjectStore, prefix: str, expected: set[str], size: int
) -> None:
    whole = list(pages(store, prefix, size=size))
    for n, page in enumerate(whole, 1):
        before = {info.key for done in whole[:n] for info in done.objects}
        again = {
            info.key for p in pages(store, prefix, after=page.resume_after, size=size) for info in p.objects
        }
        assert before | again == expected, page.resume_after


def test_an_empty_prefix_has_no_pages(store: ObjectStore, prefix: str) -> None:
    assert list(pages(store, prefix)) == []
