import json

import pytest

from model_store.cluster_names import ClusterNames, Heir
from model_store.object_store import MemoryStore
from producer.errors import ConfigurationError, PreconditionFailed
from tests.racing import RACERS, SlowStore, race

KEY = "cats/clusters.json"


@pytest.fixture
def names(store: MemoryStore) -> ClusterNames:
    return ClusterNames(store, "cats")


def test_a_cluster_that_nobody_spoke_of_is_shown_as_itself(names: ClusterNames) -> None:
    assert names.read().display("c_a") == ("c_a", None)
    assert names.read().etag is None


def test_a_name_is_kept_trimmed_and_can_be_taken_away(names: ClusterNames) -> None:
    names.name("c_a", "  Rechnungen, alt ")
    assert names.read().display("c_a") == ("c_a", "Rechnungen, alt")

    names.name("c_a", None)

    assert names.read().display("c_a") == ("c_a", None)


def test_a_merged_cluster_is_shown_as_the_other_until_split(names: ClusterNames) -> None:
    names.name("c_a", "cats")
    names.name("c_b", "kittens")
    names.merge("c_b", "c_a")
    names.merge("c_c", "c_b")  # and with it what is shown as it
    assert {names.read().display(id_) for id_ in ("c_a", "c_b", "c_c")} == {("c_a", "cats")}

    state = names.split("c_b")

    assert state.display("c_b") == state.display("c_c") == ("c_b", "kittens")


def test_a_merge_in_a_circle_is_refused_and_says_what_to_do(names: ClusterNames) -> None:
    names.merge("c_b", "c_a")
    names.merge("c_c", "c_b")

    with pytest.raises(ConfigurationError, match="c_c is shown as c_a already: `split` it first"):
        names.merge("c_a", "c_c")
    with pytest.raises(ConfigurationError, match="already"):
        names.merge("c_d", "c_d")


def test_splitting_what_is_not_merged_is_refused(names: ClusterNames) -> None:
    with pytest.raises(ConfigurationError, match="nothing to undo"):
        names.split("c_a")


@pytest.mark.parametrize("wrong", ["", "  ", "x" * 101, "two\nlines", "\x1b[31mred"])
def test_a_name_that_would_spoil_a_page_is_refused(names: ClusterNames, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="1 to 100 characters"):
        names.name("c_a", wrong)


def test_an_id_that_is_none_is_refused(names: ClusterNames) -> None:
    with pytest.raises(ConfigurationError, match="such as c_9f2k7m"):
        names.name("../x", "a")


def test_of_racing_changes_none_is_lost() -> None:
    names = ClusterNames(SlowStore(), "cats")

    race(lambda nth: names.name(f"c_{nth}", f"name {nth}"))

    assert names.read().names == {f"c_{nth}": f"name {nth}" for nth in range(RACERS)}


def test_a_change_that_never_gets_through_says_so(
    names: ClusterNames, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PreconditionFailed("somebody else")

    monkeypatch.setattr(store, "put", refuse)

    with pytest.raises(PreconditionFailed, match="kept changing"):
        names.name("c_a", "a")


def test_the_file_is_plain_json_without_its_etag(names: ClusterNames, store: MemoryStore) -> None:
    state = names.name("c_a", "cats")

    document = json.loads(store.get(KEY).data)

    assert document["names"] == {"c_a": "cats"}
    assert "etag" not in document
    assert names.read() == state


def test_a_file_of_a_newer_shoal_is_not_overwritten(names: ClusterNames, store: MemoryStore) -> None:
    newer = b'{"format_version": 2}'
    store.put(KEY, newer)

    with pytest.raises(ConfigurationError, match=r"cats/clusters\.json cannot be read"):
        names.name("c_a", "a")

    assert store.get(KEY).data == newer


def test_a_circle_that_was_written_by_hand_ends(names: ClusterNames, store: MemoryStore) -> None:
    store.put(KEY, b'{"merges": {"c_a": "c_b", "c_b": "c_a"}}')

    assert names.read().display("c_a").id in {"c_a", "c_b"}


def test_an_heir_takes_the_first_name_there_is(names: ClusterNames) -> None:
    names.name("c_b", "smaller")

    names.inherit([Heir("c_x", "c_a", takes_name=True), Heir("c_x", "c_b", takes_name=True)])

    assert names.read().display("c_x") == ("c_x", "smaller")
    assert names.read().display("c_b") == ("c_b", "smaller")  # for a rollback


def test_a_part_takes_no_name(names: ClusterNames) -> None:
    names.name("c_a", "cats")

    names.inherit([Heir("c_x", "c_a", takes_name=False)])

    assert names.read().display("c_x") == ("c_x", None)


def test_an_heir_keeps_the_name_it_has(names: ClusterNames) -> None:
    names.name("c_a", "old")
    names.name("c_x", "own")

    names.inherit([Heir("c_x", "c_a", takes_name=True)])

    assert names.read().display("c_x") == ("c_x", "own")


def test_parts_of_a_cluster_that_was_shown_as_another_are_shown_so_too(names: ClusterNames) -> None:
    names.name("c_a", "cats")
    names.merge("c_b", "c_a")

    names.inherit([Heir("c_x", "c_b", takes_name=False), Heir("c_y", "c_b", takes_name=False)])

    assert names.read().display("c_x") == names.read().display("c_y") == ("c_a", "cats")


def test_an_heir_of_one_that_others_are_shown_as_joins_them(names: ClusterNames) -> None:
    names.name("c_a", "cats")
    names.merge("c_b", "c_a")

    names.inherit([Heir("c_x", "c_a", takes_name=True)])

    assert names.read().display("c_x") == names.read().display("c_b") == ("c_a", "cats")


def test_inheriting_twice_writes_once(names: ClusterNames) -> None:
    names.name("c_a", "cats")
    first = names.inherit([Heir("c_x", "c_a", takes_name=True)])

    assert names.inherit([Heir("c_x", "c_a", takes_name=True)]).etag == first.etag


def test_a_cluster_does_not_inherit_that_it_is_shown_as_itself(names: ClusterNames) -> None:
    names.name("c_a", "invoices")
    names.merge("c_a", "c_x")  # c_x is of a challenger, merged of c_a and c_b

    state = names.inherit([Heir("c_x", "c_a", takes_name=True), Heir("c_x", "c_b", takes_name=True)])

    assert state.merges == {"c_a": "c_x"}
