import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from model_store.bundle_files import CLUSTERS, ClusterEntry, ClusterFile, listed
from model_store.clusterer import KMEANS_FILE, Clusterer
from model_store.layout import Layout
from model_store.ledger import Ledger
from model_store.object_store import MemoryStore
from model_store.registry import Registry
from model_store.tombstones import Tombstones
from producer.contracts import Cluster, ImageRef, ModelStamp, Result
from producer.errors import PreconditionFailed, QueueFull
from producer.ulid import new_ulid
from tests.tiny_model import TinyBundle, make_tiny_bundle
from training import backfill, backfill_record
from training.backfill import Backfill, BackfillSettings
from training.backfill_record import BackfillRecord, read, take
from training.progress import Silent

DAY_S = 86_400
NOW_S = 1_790_000_000


class Post:
    """What Producer is to a backfill."""

    def __init__(self) -> None:
        self.refs: list[ImageRef] = []
        self.how: list[Mapping[str, object]] = []
        self.on_submit: Callable[[], None] = lambda: None
        self.answer: Callable[[str, int], None] = lambda _id, _nth: None

    def submit(self, ref: ImageRef, **how: object) -> None:
        self.on_submit()
        self.refs.append(ref)
        self.how.append(how)
        self.answer(ref.image_id, len(self.refs))

    def flush(self) -> None:
        return

    @property
    def ids(self) -> list[str]:
        return sorted(ref.image_id for ref in self.refs)


class Place:
    def __init__(self, tiny: TinyBundle) -> None:
        self.store = MemoryStore()
        self.registry = Registry(self.store, "default")
        self.manifest, self.files = tiny
        self.clusterer = Clusterer.from_files(self.files["pca.safetensors"], self.files[KMEANS_FILE])
        self.post, self.stop = Post(), threading.Event()
        self.publish("v1", self.files)

    def publish(self, version: str, files: Mapping[str, bytes]) -> None:
        manifest = self.manifest.model_copy(update={"version": version, "files": listed(files)})
        self.registry.publish(manifest, files)
        self.registry.promote(version)

    def publish_other_encoder(self, version: str = "v2") -> None:
        self.publish(version, make_tiny_bundle(seed=3)[1])

    def publish_other_clusters(self, version: str = "v2") -> None:
        """The same encoder and PCA; the first two clusters have changed their ids."""
        centroids = self.clusterer.centroids
        kmeans = replace(self.clusterer, centroids=centroids).to_files()[KMEANS_FILE]
        ids = ("c_0001", "c_0000", "c_0002")
        entries = tuple(ClusterEntry(index=i, id=name) for i, name in enumerate(ids))
        files = {**self.files, KMEANS_FILE: kmeans, CLUSTERS: ClusterFile(clusters=entries).to_bytes()}
        self.publish(version, files)

    def answered(
        self,
        *image_ids: str,
        day: int = 0,
        version: str = "v1",
        generation: int = 1,
        status: str = "assigned",
        index: int = 0,
        projection: NDArray[np.float32] | None = None,
    ) -> None:
        message_id = new_ulid(NOW_S - day * DAY_S)
        refs = [ImageRef(image_id=i, bucket="uploads", key=f"{i}.png", etag="e") for i in image_ids]
        fields = {
            "collection": "default",
            "status": status,
            "message_id": message_id,
            "cluster": Cluster(id=f"c_000{index}", index=index) if status != "rejected" else None,
            "model": ModelStamp(version=version, sha256="0", generation=generation),
        }
        results = [Result.model_validate({"image_id": i, **fields}) for i in image_ids]
        where = self.clusterer.centroids[index] if projection is None else projection
        Ledger(self.store, "default").append(message_id, refs, results, [where] * len(refs))

    def renewed(self, image_id: str, *, old: bool) -> None:
        """Have a renewal answered now: by the champion, or by the model before it."""
        message_id, generation = new_ulid(), 1 if old else 2
        fields = {
            "image_id": image_id,
            "collection": "default",
            "status": "assigned",
            "message_id": message_id,
            "cluster": Cluster(id="c_0000", index=0),
            "model": ModelStamp(version=f"v{generation}", sha256="0", generation=generation),
        }
        ref = ImageRef(image_id=image_id, bucket="uploads", key=f"{image_id}.png")
        where = [self.clusterer.centroids[0]]
        Ledger(self.store, "default").append(message_id, [ref], [Result.model_validate(fields)], where)

    def work(self, images_per_s: float = 1e6) -> Backfill:
        settings = BackfillSettings(images_per_s=images_per_s)
        return Backfill(self.store, self.registry, settings, self.stop)

    def run(self) -> BackfillRecord | None:
        return self.work().run(self.post, Silent())  # type: ignore[arg-type]


@pytest.fixture
def place(tiny_bundle: TinyBundle) -> Place:
    return Place(tiny_bundle)


def test_after_another_encoder_every_answered_picture_is_submitted_once_as_a_renewal(place: Place) -> None:
    place.answered("a", "b", day=2)
    place.answered("b", "c", day=1, status="unknown")
    place.answered("d", day=1, status="rejected")
    place.publish_other_encoder()
    record = place.run()
    assert place.post.ids == ["a", "b", "c"]
    assert all(how == {"collection": "default", "lane": "bulk", "reclassify": True} for how in place.post.how)
    assert {ref.etag for ref in place.post.refs} == {None}
    assert record is not None
    assert (record.state, record.submitted, record.generation) == ("done", 3, 2)


def test_where_only_clusters_changed_the_stored_projection_tells_who_moves(place: Place) -> None:
    place.answered("moves", index=0)
    place.answered("stays", index=2)
    place.answered("no_projection", index=2, projection=np.zeros(1, np.float32))
    place.publish_other_clusters()
    outlook = place.work().outlook(Silent())
    assert (outlook.pictures, outlook.stay, outlook.submit) == (3, 1, 2)
    assert outlook.moves == {("c_0000", "c_0001"): 1}
    place.run()
    assert place.post.ids == ["moves", "no_projection"]


def test_what_is_too_close_to_call_is_submitted(place: Place) -> None:
    first, third = place.clusterer.centroids[[0, 2]]
    place.answered("between", index=2, projection=(third * 0.5001 + first * 0.4999).astype(np.float32))
    far = third + np.float32(1000)
    place.answered("far", index=2, status="unknown", projection=far)
    place.publish_other_clusters()
    place.run()
    assert "between" in place.post.ids


def test_pictures_of_the_champion_and_of_its_version_before_a_rollback_are_left_alone(place: Place) -> None:
    place.answered("first", generation=1)
    place.publish_other_encoder()
    place.answered("second", version="v2", generation=2)
    place.registry.rollback()
    place.answered("third", generation=3)
    place.run()
    assert place.post.ids == ["second"]


def test_the_newest_row_of_a_picture_counts(place: Place) -> None:
    place.answered("a", day=3)
    place.publish_other_encoder()
    place.answered("a", day=0, version="v2", generation=2)
    place.answered("b", day=3)
    place.answered("b", day=0, status="rejected")
    assert place.work().outlook(Silent()).submit == 0


def test_an_erased_picture_is_not_submitted(place: Place) -> None:
    place.answered("a", "b")
    place.publish_other_encoder()
    Tombstones(place.store, "default").set(["a"], "r")
    place.run()
    assert place.post.ids == ["b"]


def test_a_dry_run_writes_nothing(place: Place) -> None:
    place.answered("a")
    place.publish_other_encoder()
    before = dict(place.store._objects)
    place.work().outlook(Silent())
    assert place.store._objects == before


def test_a_backfill_that_is_done_is_not_done_again(place: Place) -> None:
    place.answered("a")
    place.publish_other_encoder()
    assert place.run()
    assert place.run() is None
    assert place.post.ids == ["a"]


def interrupt_at(place: Place, n: int) -> None:
    def count() -> None:
        if len(place.post.refs) == n:
            raise KeyboardInterrupt

    place.post.on_submit = count


@pytest.mark.parametrize("at", range(6))
def test_one_that_was_interrupted_goes_on_and_leaves_nobody_out(place: Place, at: int) -> None:
    for day in range(3):
        place.answered(f"a{day}", f"b{day}", day=day + 1)
    place.publish_other_encoder()
    interrupt_at(place, at)
    with pytest.raises(KeyboardInterrupt):
        place.run()
    place.post.on_submit = lambda: None
    record = place.run()
    assert record is not None
    assert record.state == "done"
    assert set(place.post.ids) == {f"{kind}{day}" for kind in "ab" for day in range(3)}
    assert len(place.post.ids) <= 6 + at % 2  # what was half done of one day, and no more


def test_a_move_of_the_champion_stops_it_and_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill_record, "RENEW_S", -1.0)
    place.answered("a", "b", "c")
    place.publish_other_encoder()

    def roll_back_once() -> None:
        if not place.post.refs:
            place.registry.rollback()

    place.post.on_submit = roll_back_once
    record = place.run()
    assert record is not None
    assert record.state == "stopped"
    assert "the champion is v1 by now" in record.reason


def test_a_full_queue_is_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "PAUSE_S", 0.0)
    answers: Iterator[bool] = iter([True, True, False, False])

    def sometimes() -> None:
        if next(answers):
            raise QueueFull("full")

    place.answered("a", "b")
    place.publish_other_encoder()
    place.post.on_submit = sometimes
    place.run()
    assert place.post.ids == ["a", "b"]


def test_it_keeps_to_its_rate(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(place.stop, "wait", waited.append)
    place.answered(*(f"p{i}" for i in range(50)))
    place.publish_other_encoder()
    place.work(images_per_s=0.5).run(place.post, Silent())  # type: ignore[arg-type]
    assert len(waited) == 49
    assert 2 * 49 - 5 < max(waited) <= 2 * 49  # the clock stood still: the last is due 98 s after the first


def test_told_to_stop_it_ends_at_once(place: Place) -> None:
    place.answered("a", "b")
    place.publish_other_encoder()
    place.post.on_submit = place.stop.set
    record = place.run()
    assert record is not None
    assert (record.state, record.reason) == ("stopped", "the process ends")
    assert len(place.post.refs) == 1


def test_pictures_that_the_old_model_answers_meanwhile_are_seen_too(place: Place) -> None:
    place.answered("a", day=1)
    place.publish_other_encoder()
    late = ["late"]

    def straggler() -> None:
        while late:
            message_id = new_ulid()  # of today
            ref = ImageRef(image_id=late.pop(), bucket="uploads", key="k")
            result = Result(
                image_id=ref.image_id,
                collection="default",
                status="assigned",
                message_id=message_id,
                model=ModelStamp(version="v1", sha256="0", generation=1),
            )
            Ledger(place.store, "default").append(message_id, [ref], [result], [None])

    place.post.on_submit = straggler
    place.run()
    assert place.post.ids == ["a", "late"]


def test_of_two_processes_one_works_and_takes_over_only_what_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    first = take(store, "default", 2, "v2")
    assert first is not None
    assert take(store, "default", 2, "v2") is None
    monkeypatch.setattr(backfill_record, "STALE_S", -1.0)
    second = take(store, "default", 2, "v2")
    assert second is not None
    with pytest.raises(PreconditionFailed):
        first.write(submitted=1)
    second.write(submitted=2)
    found = read(store, "default", 2)
    assert found is not None
    assert found[0].submitted == 2
    assert [info.key for info in store.list()] == [Layout("default").backfill(2)]


def test_renewals_that_an_older_model_answered_are_submitted_again(place: Place) -> None:
    """The first 40 messages are answered at once by a worker that has not taken the champion up."""
    place.answered(*(f"img_{n}" for n in range(100)))
    place.publish_other_encoder()
    place.post.answer = lambda image_id, nth: place.renewed(image_id, old=nth <= 40)

    record = place.run()

    assert record is not None
    assert (record.state, record.submitted) == ("done", 140)
    assert place.work().outlook(Silent()).submit == 0


def test_a_worker_that_refuses_the_champion_does_not_keep_a_backfill_for_ever(place: Place) -> None:
    place.answered("a")
    place.publish_other_encoder()
    place.post.answer = lambda image_id, _: place.renewed(image_id, old=True)

    record = place.run()

    assert record is not None
    assert (record.state, record.submitted) == ("done", 1 + backfill.LOOKS)
    assert "answers of an older model" in record.reason
