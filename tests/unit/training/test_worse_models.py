"""What the gates are for. The figures of 20 tries each are of `benchmarks/gates.py`."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from model_store.bundle import load_decoder
from model_store.bundle_files import DECODER, REFERENCE
from tests.unit.training.drawn_kinds import pictures, seen_by, settings
from tests.unit.training.spoilt_models import (
    Spoil,
    cropped_and_bgr,
    inverted,
    learned_from,
    noise,
    one_picture,
    spoilt,
    to_a_point,
    two_on_one_spot,
)
from training.cluster import fit_clusterer
from training.cluster_settings import ClusterSettings
from training.comparison import compare
from training.corpus import Corpus
from training.predecessor import view
from training.progress import Silent
from training.promotion import PromotionPolicy, Verdict, decide
from training.train import Trained, train
from training.train_settings import TrainSettings

pytestmark = pytest.mark.usefixtures("one_thread")

SHOWN = pictures((0, 1, 2, 3), n_each=40)
CLEAN = SHOWN.corpus()
UNTIMED = PromotionPolicy(max_latency=1e6)  # a busy machine may make any model look slow


@pytest.fixture(scope="module")
def champion(one_thread: None) -> Trained:
    return train(CLEAN, settings(), Silent(), source="npy")


def held_against(
    champion: Trained,
    corpus: Corpus,
    chosen: TrainSettings,
    step: str = "",
    change: Callable[..., object] | None = None,
) -> Verdict:
    predecessor = seen_by(champion, SHOWN)
    with spoilt(step, change):
        candidate = train(corpus, chosen, Silent(), source="npy", predecessor=predecessor)
    return decide(candidate.quality, compare(candidate, predecessor, corpus, chosen), UNTIMED)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_better_model_is_promoted(champion: Trained, seed: int) -> None:
    verdict = held_against(champion, CLEAN, settings(seed, steps=80))

    assert verdict.promote, verdict.reason


@pytest.mark.parametrize("from_champion", [True, False])
@pytest.mark.parametrize("spoil", [noise, inverted, cropped_and_bgr, one_picture])
def test_a_model_that_learned_from_something_else_is_not_promoted(
    champion: Trained, spoil: Spoil, *, from_champion: bool
) -> None:
    chosen = settings(1, steps=80, from_champion=from_champion)
    corpus = learned_from(CLEAN, chosen.held_out, spoil, np.random.default_rng(0))

    verdict = held_against(champion, corpus, chosen)

    assert not verdict.promote


def test_a_flood_that_is_held_out_too_does_not_judge_itself(champion: Trained) -> None:
    """Half of the corpus, and of the held-out pictures, is new noise: two kinds lose a cluster to it."""
    flood = np.random.default_rng(0).integers(0, 256, CLEAN.pixels.shape, dtype=np.uint8)
    names = (*CLEAN.names, *(f"flood-{n}" for n in range(len(flood))))
    corpus = Corpus(np.concatenate([CLEAN.pixels, flood]), names, digest="f" * 64)
    bundle = champion.load()
    decoder = load_decoder(bundle.manifest, champion.files[DECODER])
    predecessor = view(bundle, decoder, champion.files[REFERENCE], names, corpus)
    chosen = settings(1, steps=120)

    candidate = train(corpus, chosen, Silent(), source="npy", predecessor=predecessor)
    compared = compare(candidate, predecessor, corpus, chosen)

    assert compared is not None
    verdict = decide(candidate.quality, compared, PromotionPolicy())
    assert "kept_apart" in {gate.name for gate in verdict.gates if not gate.passed}


@pytest.mark.parametrize(
    ("step", "change", "gate"),
    [
        ("fit_autoencoder", to_a_point, "spread"),
        ("fit_any", two_on_one_spot, "separation"),
    ],
)
def test_a_collapse_is_seen_by_the_gate_that_is_there_for_it(
    champion: Trained, step: str, change: Callable[..., object], gate: str
) -> None:
    verdict = held_against(champion, CLEAN, settings(1, steps=80), step, change)

    assert gate in {failed.name for failed in verdict.gates if not failed.passed}


def test_five_far_outliers_take_a_centroid_and_are_refused_but_not_where_they_are_trimmed(
    champion: Trained,
) -> None:
    rng = np.random.default_rng(0)
    kinds = np.eye(8, dtype=np.float32)
    usual = (kinds[rng.integers(3, size=1000)] + 0.02 * rng.normal(size=(1000, 8))).astype(np.float32)
    poisoned = np.concatenate([usual, np.repeat(-kinds[:1], 5, axis=0)])
    far = np.arange(1005) >= 1000
    chosen = ClusterSettings(n_clusters=4, n_components=8, n_init=3)
    predecessor = replace(seen_by(champion, SHOWN), far=far, labels=np.zeros(1005, np.int64))

    rows = predecessor.trimmed(np.arange(1005), at_most=0.01)
    sizes = [fit_clusterer(poisoned[r], usual, chosen, 0).counts for r in (np.arange(1005), rows)]

    assert (sizes[0].min(), len(rows)) == (5, 1000)
    assert sizes[0].min() / sizes[0].mean() < PromotionPolicy().min_size < sizes[1].min() / sizes[1].mean()


def test_a_new_kind_is_not_trimmed(champion: Trained) -> None:
    predecessor = replace(seen_by(champion, SHOWN), far=np.arange(100) >= 90, labels=np.zeros(100, np.int64))

    assert len(predecessor.trimmed(np.arange(100), at_most=0.01)) == 100
