"""A listing in pages that can be taken up again after any of them, whatever order the store lists in.

SeaweedFS lists folder by folder, and what it is asked to start after it skips with everything below: where
`a` and `a/b` both are objects, a page that ends at `a` is followed by one without `a/b` (4.48, its own
continuation tokens too). Hence what lies below the last key of a page is listed by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from model_store.object_store import ObjectInfo, ObjectStore

PAGE: Final = 1_000  # what S3 gives in one answer


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects, and from where to go on once they are done."""

    objects: tuple[ObjectInfo, ...]
    resume_after: str


def pages(store: ObjectStore, prefix: str, *, after: str = "", size: int = PAGE) -> Iterator[Page]:
    """List every object with this prefix; one may come twice when the listing is taken up again.

    Args:
        store: the bucket.
        prefix: of the keys.
        after: `resume_after` of the last page that is done; empty to begin.
        size: objects in a page, at most.
    """
    listed_below: list[str] = []
    while True:
        folder = after.rstrip("/") + "/"
        if after and folder != prefix and not folder.startswith(tuple(listed_below)):
            below = False
            for page in pages(store, folder, size=size):
                below = True
                yield Page(tuple(i for i in page.objects if i.key != after), after)
            if below:
                listed_below.append(folder)
        found = list(islice(store.list(prefix, start_after=after), size))
        if not found:
            return
        after = found[-1].key
        yield Page(tuple(i for i in found if not i.key.startswith(tuple(listed_below))), after)
