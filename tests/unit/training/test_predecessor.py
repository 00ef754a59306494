import numpy as np
import pytest

from model_store.bundle import load_decoder
from model_store.bundle_files import DECODER, REFERENCE
from model_store.object_store import MemoryStore
from model_store.preprocess import Preprocess
from model_store.registry import Registry
from tests.unit.training.drawn_kinds import pictures, seen_by, settings, trained
from tests.unit.training.told import Told
from training.corpus import Corpus
from training.predecessor import Predecessor, by_hash, load_predecessor, view
from training.train import Trained

pytestmark = pytest.mark.usefixtures("one_thread")

SHOWN = pictures((0, 1, 2, 3), n_each=20)


@pytest.fixture(scope="module")
def champion(one_thread: None) -> Trained:
    return trained(SHOWN, settings())


@pytest.fixture(scope="module")
def predecessor(champion: Trained) -> Predecessor:
    return seen_by(champion, pictures((0, 1, 2, 3, 4), n_each=20))


def part(corpus: Corpus, rows: list[int]) -> Corpus:
    return Corpus(corpus.pixels[rows], tuple(corpus.names[row] for row in rows), "d")


def test_it_labels_pictures_as_it_did_when_it_was_trained(champion: Trained) -> None:
    np.testing.assert_array_equal(seen_by(champion, SHOWN).labels, champion.assignment.indices)


def test_it_knows_which_pictures_it_learned_from(predecessor: Predecessor) -> None:
    kinds = pictures((0, 1, 2, 3, 4), n_each=20).kinds

    np.testing.assert_array_equal(predecessor.seen, kinds != 4)


def test_anchors_are_pictures_that_both_learned_from_and_always_the_same(predecessor: Predecessor) -> None:
    shown = pictures((0, 1, 2, 3, 4), n_each=20)

    all_of_them, few = (predecessor.anchors(shown.names, at_most) for at_most in (1000, 30))

    assert (shown.kinds[all_of_them] != 4).all()
    assert len(all_of_them) == 80
    assert len(few) == 30
    assert set(few) < set(all_of_them)


def test_with_too_few_pictures_in_common_all_that_it_can_see_are_anchors(champion: Trained) -> None:
    strangers = pictures((0, 1, 2, 3, 4), n_each=20)
    corpus = strangers.corpus()
    renamed = Corpus(corpus.pixels, tuple(f"other/{name}" for name in corpus.names), "d")
    bundle = champion.load()
    decoder = load_decoder(bundle.manifest, champion.files[DECODER])

    found = view(bundle, decoder, champion.files[REFERENCE], renamed.names, renamed)

    assert not found.seen.any()
    assert len(found.anchors(renamed.names, 1000)) == 100


def test_pictures_that_are_gone_when_they_are_read_again_are_passed_over(champion: Trained) -> None:
    corpus = SHOWN.corpus()
    bundle = champion.load()
    decoder = load_decoder(bundle.manifest, champion.files[DECODER])
    own = part(corpus, [row for row in range(80) if row not in (3, 79)])

    found = view(bundle, decoder, champion.files[REFERENCE], corpus.names, own)

    assert np.flatnonzero(found.labels < 0).tolist() == [3, 79]
    rows, pixels = found.shown(np.array([2, 3, 4, 79]))
    assert rows.tolist() == [2, 4]
    np.testing.assert_array_equal(pixels, corpus.pixels[[2, 4]])


def test_what_is_like_nothing_it_knows_is_far(champion: Trained) -> None:
    white = Corpus(np.full((3, 32, 32, 3), 255, np.uint8), ("x", "y", "z"), "d")
    bundle = champion.load()
    decoder = load_decoder(bundle.manifest, champion.files[DECODER])

    found = view(bundle, decoder, champion.files[REFERENCE], white.names, white)

    assert found.far.all()
    assert seen_by(champion, SHOWN).far.mean() < 0.05


def test_the_corpus_is_read_again_only_for_another_preprocess(champion: Trained) -> None:
    registry = Registry(MemoryStore(), "default")
    target = registry.publish(champion.manifest, champion.files)
    asked: list[Preprocess] = []

    def reread(preprocess: Preprocess) -> Corpus:
        asked.append(preprocess)
        return SHOWN.corpus(preprocess.input_size)

    for side in (32, 64):
        size = Preprocess(input_size=side)
        told = Told()
        found = load_predecessor(registry, target, SHOWN.corpus(side), size, reread, "cpu", told)
        np.testing.assert_array_equal(found.labels, champion.assignment.indices)

        n = len(SHOWN.names)
        assert told.stages == [("compare", n, n)]

    assert asked == [Preprocess(input_size=32)]


def test_weights_are_handed_on_to_a_successor_of_the_same_kind_only(predecessor: Predecessor) -> None:
    assert predecessor.weights(settings(seed=5).fit) is not None
    assert predecessor.weights(settings(recipe="pure").fit) is None
    assert predecessor.weights(settings(architecture={"widths": (4, 9)}).fit) is None
    assert predecessor.weights(settings(from_champion=False).fit) is None


def test_a_longer_list_keeps_most_of_the_order() -> None:
    names = [f"img-{n}" for n in range(1000)]

    held_out, later = (set(by_hash(names[:n], "held out")[: n // 10].tolist()) for n in (900, 1000))

    assert len(held_out & later) > 80
