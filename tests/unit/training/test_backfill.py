import numpy as np
import pytest

from model_store.tombstones import Tombstones
from tests.tiny_model import TinyBundle
from tests.unit.training.backfilled import Place
from training.progress import Silent


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
    place.answered("no_residual", index=2, residual=None)
    place.answered("strange", index=2, residual=4.0)
    place.publish_other_clusters()
    outlook = place.work().outlook(Silent())
    assert (outlook.pictures, outlook.stay, outlook.submit) == (5, 1, 4)
    assert outlook.moves == {("c_0000", "c_0001"): 1, ("c_0002", "unknown"): 1}
    place.run()
    assert place.post.ids == ["moves", "no_projection", "no_residual", "strange"]


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
