import re
from html.parser import HTMLParser

import pytest

from console.diff_page import SHOWN_PER_FLOW, Diff, Thumbnail, diff_page
from console.model_diff import place
from model_store.bundle import load_bundle
from model_store.bundle_files import ClusterEntry, ClusterEvent, ClusterFile
from model_store.decode import DecodeLimits
from model_store.manifest import Gate, sha256
from tests.system.running_platform import picture
from tests.tiny_model import TinyBundle, make_tiny_bundle
from training.changes import Placed, changes

HOSTILE = '"><script>alert(1)</script>'
THUMBNAIL = Thumbnail(b"\xff\xd8", 30, 20)


def named(*ids: str) -> ClusterFile:
    return ClusterFile(clusters=tuple(ClusterEntry(index=k, id=id_) for k, id_ in enumerate(ids)))


def page(n_moved: int = 2, name: str = "img", label: str = "cats") -> str:
    placed = [Placed(f"{name}-{k}", "c_a", "c_b") for k in range(n_moved)] + [Placed("stays", "c_a", "c_a")]
    found = changes(placed, named("c_a", "c_old"), named("c_a", "c_b"))
    died = ClusterEvent(kind="died", before=("c_old",), after=(), reason="hardly any is left")
    gate = Gate(name="silhouette", passed=False, reason=f"too low {label}")
    diff = Diff("default", "v1", "v2", found, (died,), (gate,))
    return diff_page(diff, lambda id_: label if id_ == "c_a" else id_, {p.name: THUMBNAIL for p in placed})


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_shows_what_moves_what_dies_and_what_failed() -> None:
    text = page()

    for part in ("66.7%", "cats", "c_b", "2 pictures", "died", "hardly any is left", "silhouette", "too low"):
        assert part in text


def test_nothing_is_fetched_and_nothing_runs() -> None:
    tags = Tags()
    tags.feed(page(name=HOSTILE, label=HOSTILE))

    assert "script" not in {tag for tag, _ in tags.found}
    sources = [str(attributes["src"]) for tag, attributes in tags.found if tag == "img"]
    assert len(sources) == 2
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not re.search(r"https?:|//", page())


def test_of_many_pictures_the_first_are_shown_and_the_rest_counted() -> None:
    text = page(n_moved=SHOWN_PER_FLOW + 7)

    assert text.count("<img ") == SHOWN_PER_FLOW
    assert "and 7 more" in text


@pytest.fixture(scope="module")
def bundles() -> tuple[TinyBundle, TinyBundle]:
    return make_tiny_bundle(0), make_tiny_bundle(1)


def test_both_models_place_every_picture_that_can_be_decoded(bundles: tuple[TinyBundle, TinyBundle]) -> None:
    before, after = (
        load_bundle(manifest.to_bytes(), files, sha256(manifest.to_bytes()), "cpu")
        for manifest, files in bundles
    )
    files = [(f"{k}.png", picture(k % 3, k)) for k in range(20)]

    found = place([*files, ("broken", b"no picture")], before, after, DecodeLimits(), thumbnails=True)

    assert [one.name for one in found.placed] == [name for name, _ in files]
    moved = {one.name for one in found.placed if one.before != one.after}
    assert set(found.thumbnails) == moved
    assert all(one.jpeg.startswith(b"\xff\xd8") for one in found.thumbnails.values())
    assert all((one.width, one.height) == (32, 32) for one in found.thumbnails.values())
