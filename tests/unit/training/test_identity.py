from collections.abc import Collection

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.identity import IdentitySettings, Matched, fresh_ids, match, overlap, unrelated

SETTINGS = IdentitySettings()
Counts = list[list[int]]


def numbered(n: int, taken: Collection[str]) -> list[str]:
    return [f"c_new{k}" for k in range(n)]


def matched(
    common: Counts,
    *,
    nowhere: list[int] | None = None,
    before: list[float] | None = None,
    after: list[float] | None = None,
    taken: Collection[str] = (),
) -> Matched:
    """Match clusters c_a, c_b, ... by their anchors; sizes are those of the anchors if not given."""
    table = np.array([*common, nowhere or [0] * len(common[0])], np.int64)
    ids = [f"c_{letter}" for letter in "abcdefgh"[: len(common)]]
    return match(
        table, ids, shares(before, table[:-1].sum(1)), shares(after, table.sum(0)), SETTINGS, taken, numbered
    )


def shares(given: list[float] | None, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.array(given) if given is not None else counts / counts.sum()


def told(found: Matched) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(one.id, one.lineage, one.parents) for one in found.identities]


def died(found: Matched) -> list[str]:
    return [event.before[0] for event in found.events if event.kind == "died"]


def test_clusters_that_have_most_in_common_keep_their_ids_in_whatever_order() -> None:
    found = matched([[1, 58, 1], [2, 3, 50], [60, 0, 0]])

    assert told(found) == [
        ("c_c", "survived", ("c_c",)),
        ("c_a", "survived", ("c_a",)),
        ("c_b", "survived", ("c_b",)),
    ]
    assert found.retired == ()


def test_half_is_not_over_half() -> None:
    found = matched([[50, 50], [0, 100]])

    assert told(found) == [("c_new0", "split", ("c_a",)), ("c_b", "survived", ("c_b",))]


def test_a_cluster_in_two_parts_leaves_its_id_to_the_larger() -> None:
    found = matched([[60, 40, 0], [0, 0, 100]])

    assert told(found)[:2] == [("c_a", "survived", ("c_a",)), ("c_new0", "split", ("c_a",))]
    assert died(found) == []


def test_a_cluster_in_two_equal_parts_leaves_its_id_to_neither() -> None:
    found = matched([[50, 50]])

    assert told(found) == [("c_new0", "split", ("c_a",)), ("c_new1", "split", ("c_a",))]
    assert found.retired == ("c_a",)
    assert [heir[1:] for heir in found.heirs()] == [("c_a", False), ("c_a", False)]


def test_two_in_one_are_merged_under_the_id_of_the_larger() -> None:
    found = matched([[60, 0], [40, 0], [0, 50]])

    assert told(found)[0] == ("c_a", "merged", ("c_a", "c_b"))
    assert found.retired == ("c_b",)
    assert found.heirs() == []
    assert "100% of c_a and 100% of c_b, which make 100% of it" in found.events[0].reason


def test_two_equal_ones_in_one_are_merged_under_a_new_id_which_inherits_the_name() -> None:
    found = matched([[50, 0], [50, 0], [0, 50]])

    assert told(found)[0] == ("c_new0", "merged", ("c_a", "c_b"))
    assert [(heir.of, heir.takes_name) for heir in found.heirs()] == [("c_a", True), ("c_b", True)]


def test_pictures_that_only_the_candidate_learned_from_are_a_new_cluster() -> None:
    # a tenth of the pictures are of a new kind; of the anchors, hardly any
    found = matched([[60, 0, 1], [0, 60, 0]], after=[0.45, 0.45, 0.1])

    assert told(found)[2] == ("c_new0", "new", ())


def test_a_kind_that_the_champion_filed_under_another_is_new_all_the_same() -> None:
    found = matched([[60, 0, 4], [0, 60, 0]], after=[1 / 3, 1 / 3, 1 / 3])

    assert told(found)[2] == ("c_new0", "new", ())


def test_what_the_champion_knew_nowhere_is_a_new_cluster() -> None:
    found = matched([[60, 0, 0], [0, 60, 10]], nowhere=[0, 0, 50])

    assert told(found)[2] == ("c_new0", "new", ())


def test_a_cluster_whose_pictures_are_gone_died() -> None:
    found = matched([[60, 0], [0, 60], [0, 3]], before=[1 / 3, 1 / 3, 1 / 3])

    assert died(found) == ["c_c"]
    assert found.retired == ("c_c",)
    assert found.events[-1].reason == "hardly any of its pictures are left"


def test_the_few_pictures_left_of_one_kind_do_not_lend_their_id_to_another() -> None:
    # of c_b one picture is left, and it lies among the new kind's
    found = matched([[60, 0], [0, 1]], before=[0.5, 0.5], after=[0.5, 0.5])

    assert told(found)[1] == ("c_new0", "new", ())
    assert died(found) == ["c_b"]


def test_a_cluster_that_is_seen_less_often_now_is_still_itself() -> None:
    found = matched([[90, 0], [0, 15]], before=[0.5, 0.5])

    assert told(found)[1] == ("c_b", "survived", ("c_b",))


def test_a_cluster_that_went_everywhere_died_and_it_is_said_where_most_of_it_is() -> None:
    found = matched([[20, 20, 20], [60, 0, 0], [0, 60, 0], [0, 0, 60]])

    assert died(found) == ["c_a"]
    assert "100% are left, most in c_b (33%)" in found.events[-1].reason


def test_no_id_is_given_twice_or_again() -> None:
    taken = {"c_old", *fresh_ids(50)}

    found = matched([[50, 50]], taken=taken)
    drawn = fresh_ids(300, taken)

    assert set(found.retired) == {*taken, "c_a"}
    assert len({*drawn, *taken}) == 300 + len(taken)
    assert set(unrelated(3, taken).retired) == taken


def test_a_new_cluster_gets_no_id_of_the_champion_or_of_the_past() -> None:
    def of_the_past_first(n: int, taken: Collection[str]) -> list[str]:
        return [one for one in ("c_a", "c_old", "c_x", "c_y") if one not in taken][:n]

    in_halves, whole, half = np.array([[50, 50], [0, 0]]), np.ones(1), np.full(2, 0.5)
    found = match(in_halves, ["c_a"], whole, half, SETTINGS, {"c_old"}, of_the_past_first)

    assert [one.id for one in found.identities] == ["c_x", "c_y"]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_whatever_the_overlap_ids_are_unique_and_every_old_one_is_accounted_for(
    i: int, j: int, seed: int
) -> None:
    common = np.random.default_rng(seed).integers(0, 30, (i, j)).tolist()
    if not np.array(common).sum():
        common[0][0] = 1

    found = matched(common)

    ids = [one.id for one in found.identities]
    olds = {f"c_{letter}" for letter in "abcdefgh"[:i]}
    assert len(set(ids)) == j
    assert set(found.retired) == olds - set(ids)
    continued = {parent for one in found.identities for parent in one.parents}
    assert continued | set(died(found)) == olds
    assert not continued & set(died(found))


def test_the_overlap_counts_pictures_and_keeps_apart_what_is_nowhere() -> None:
    table = overlap(np.array([0, 0, 1, -1]), np.array([1, 1, 0, 0]), (2, 2))

    assert table.tolist() == [[0, 2], [1, 0], [1, 0]]


@pytest.mark.parametrize(
    "wrong", [{"min_overlap": 1.0}, {"min_overlap": 0.1}, {"anchors": 0}, {"anchor": 100}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        IdentitySettings.model_validate(wrong)
