from model_store.bundle_files import ClusterEntry, ClusterFile
from training.changes import Placed, changes


def named(*ids: str) -> ClusterFile:
    return ClusterFile(clusters=tuple(ClusterEntry(index=k, id=id_) for k, id_ in enumerate(ids)))


def test_what_moves_is_grouped_by_where_it_goes_the_most_first() -> None:
    placed = [
        Placed("1", "c_a", "c_b"),
        Placed("2", "c_b", "c_x"),
        Placed("3", "c_b", "c_x"),
        Placed("4", "c_a", "c_a"),
    ]

    found = changes(placed, named("c_a", "c_b"), named("c_a", "c_b", "c_x"))

    assert [(flow.before, flow.after, flow.pictures) for flow in found.flows] == [
        ("c_b", "c_x", ("2", "3")),
        ("c_a", "c_b", ("1",)),
    ]
    assert (found.n, found.n_moved, found.share_moved) == (4, 3, 0.75)


def test_clusters_come_and_go_even_without_a_picture() -> None:
    found = changes([Placed("1", "c_a", "c_a")], named("c_a", "c_old"), named("c_a", "c_new"))

    fates = {one.id: (one.fate, one.n_before, one.n_after) for one in found.clusters}
    assert fates == {"c_a": ("kept", 1, 1), "c_old": ("gone", 0, 0), "c_new": ("new", 0, 0)}


def test_without_pictures_nothing_moves() -> None:
    assert changes([], named("c_a"), named("c_a")).share_moved == 0
