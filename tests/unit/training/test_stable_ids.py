import numpy as np
import pytest

from model_store.bundle_files import CLUSTERS, MODEL_CARD, ClusterFile
from model_store.cluster_names import ClusterNames
from model_store.object_store import MemoryStore
from tests.unit.training.drawn_kinds import Pictures, pictures, settings, trained
from training.train import Trained

pytestmark = pytest.mark.usefixtures("one_thread")

FOUR = pictures((0, 1, 2, 3))


@pytest.fixture(scope="module")
def champion(one_thread: None) -> Trained:
    return trained(FOUR, settings())


@pytest.fixture
def names(champion: Trained) -> ClusterNames:
    """People named each of the champion's clusters for the kind of picture that it holds."""
    given = ClusterNames(MemoryStore(), "default")
    for cluster_id, kind in kinds_of(champion, FOUR).items():
        given.name(cluster_id, f"kind {kind}")
    return given


def kinds_of(model: Trained, shown: Pictures) -> dict[str, int]:
    """Tell of which kind each cluster mostly is."""
    ids = [identity.id for identity in model.matched.identities]
    clusters = model.assignment.indices
    return {ids[k]: int(np.bincount(shown.kinds[clusters == k]).argmax()) for k in range(len(ids))}


def lineages(model: Trained) -> list[str]:
    return sorted(event.kind for event in model.matched.events)


def shown_names(model: Trained, names: ClusterNames, shown: Pictures) -> dict[int, str | None]:
    """Give the name that each kind's cluster is shown with, once names are handed on."""
    state = names.inherit(model.matched.heirs())
    return {kind: state.display(cluster_id).name for cluster_id, kind in kinds_of(model, shown).items()}


def test_a_first_model_has_a_cluster_for_each_kind(champion: Trained) -> None:
    assert sorted(kinds_of(champion, FOUR).values()) == [0, 1, 2, 3]


@pytest.mark.parametrize("from_champion", [True, False])
def test_with_another_seed_at_least_95_percent_of_pictures_keep_their_id(
    champion: Trained, names: ClusterNames, *, from_champion: bool
) -> None:
    again = trained(FOUR, settings(seed=7, from_champion=from_champion), champion)

    assert again.moved <= 0.05
    assert lineages(again) == ["survived"] * 4
    assert shown_names(again, names, FOUR) == {kind: f"kind {kind}" for kind in range(4)}


def test_ids_survive_another_encoder_that_sees_larger_pictures(
    champion: Trained, names: ClusterNames
) -> None:
    architecture = {"widths": (6, 12), "embedding_dim": 16, "input_size": 64}

    other = trained(FOUR, settings(seed=3, architecture=architecture), champion)

    assert other.moved <= 0.05
    assert lineages(other) == ["survived"] * 4
    assert shown_names(other, names, FOUR) == {kind: f"kind {kind}" for kind in range(4)}


def test_a_kind_that_is_added_is_one_new_cluster(champion: Trained, names: ClusterNames) -> None:
    five = pictures((0, 1, 2, 3, 4))

    grown = trained(five, settings(seed=1, n_clusters=5), champion)

    assert lineages(grown) == ["new", *["survived"] * 4]
    assert shown_names(grown, names, five) == {**{kind: f"kind {kind}" for kind in range(4)}, 4: None}


def test_a_kind_that_is_gone_died_and_its_id_is_never_given_again(champion: Trained) -> None:
    three = pictures((0, 1, 2))
    (gone,) = (cluster_id for cluster_id, kind in kinds_of(champion, FOUR).items() if kind == 3)

    shrunk = trained(three, settings(seed=1, n_clusters=3), champion)
    after = trained(FOUR, settings(seed=2), shrunk)

    assert lineages(shrunk) == ["died", *["survived"] * 3]
    assert shrunk.matched.retired == (gone,)
    assert gone in after.matched.retired
    assert gone not in kinds_of(after, FOUR)


def test_two_kinds_in_one_cluster_are_merged_and_keep_a_name(champion: Trained, names: ClusterNames) -> None:
    fewer = trained(FOUR, settings(seed=1, n_clusters=3), champion)

    assert lineages(fewer).count("merged") == 1
    assert lineages(fewer).count("survived") == 2
    (merged,) = (one for one in fewer.matched.identities if one.lineage == "merged")
    state = names.inherit(fewer.matched.heirs())
    assert state.display(merged.id).name == state.display(merged.parents[0]).name is not None
    assert None not in shown_names(fewer, names, FOUR).values()


def test_what_became_of_clusters_stands_in_the_bundle_and_on_its_card(champion: Trained) -> None:
    fewer = trained(FOUR, settings(seed=1, n_clusters=3), champion)

    file = ClusterFile.from_bytes(fewer.files[CLUSTERS])
    assert file.events == fewer.matched.events
    assert file.retired == fewer.matched.retired
    assert len(file.retired) > 0
    assert fewer.load().retired == file.retired
    assert "| merged |" in fewer.files[MODEL_CARD].decode()


def test_a_first_model_says_nothing_of_a_former_one(champion: Trained) -> None:
    assert "former" not in champion.files[MODEL_CARD].decode()
