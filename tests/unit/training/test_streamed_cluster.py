from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model_store.clusterer import Clusterer
from training.cluster import fit_clusterer
from training.cluster_settings import ClusterSettings
from training.evaluate import agreement
from training.streamed_cluster import assign_parts, fit_any, fit_streamed, project_parts

N, DIM, KINDS = 12_000, 16, 5
ROWS, HELD_OUT = np.arange(2000, N), np.arange(2000)
Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def embeddings() -> Floats:
    """Five kinds of directions, all of one kind before all of the next: a folder sorted by kind."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(KINDS, DIM))
    kinds = np.concatenate([np.arange(2000) % KINDS, np.repeat(np.arange(KINDS), (N - 2000) // KINDS)])
    return np.asarray(centres[kinds] + 0.5 * rng.normal(size=(N, DIM)), np.float32)


@pytest.fixture
def mapped(embeddings: Floats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Floats:
    monkeypatch.setattr("training.room.IN_MEMORY_BYTES", 0)
    np.save(tmp_path / "embeddings.npy", embeddings)
    opened: Floats = np.load(tmp_path / "embeddings.npy", mmap_mode="r")
    return opened


def settings(in_memory: int) -> ClusterSettings:
    return ClusterSettings(n_clusters=KINDS, n_components=6, n_init=3, in_memory=in_memory)


def inertia(clusterer: Clusterer, embeddings: Floats) -> float:
    return float(np.square(clusterer.assign(clusterer.project(embeddings)).distances).mean())


def test_a_large_corpus_gets_the_pca_and_the_clusters_of_a_small_one(mapped: Floats) -> None:
    exact = fit_clusterer(mapped[ROWS], mapped[HELD_OUT], settings(N), 0)

    streamed = fit_streamed(mapped, ROWS, HELD_OUT, settings(1000), 0)

    cosines = np.abs((exact.components * streamed.components).sum(axis=1))
    np.testing.assert_allclose(cosines, 1, atol=1e-4)
    np.testing.assert_allclose(streamed.explained_variance, exact.explained_variance, rtol=1e-3)
    assert inertia(streamed, mapped) <= inertia(exact, mapped) * 1.01
    labels = [c.assign(c.project(mapped)).indices for c in (exact, streamed)]
    assert agreement(*labels).accuracy >= 0.99
    assert streamed.counts.sum() == len(ROWS)


def test_unknown_is_calibrated_on_pictures_that_were_held_out(mapped: Floats) -> None:
    streamed = fit_streamed(mapped, ROWS, HELD_OUT, settings(3000), 0)

    unseen = mapped[HELD_OUT]
    projections = streamed.project(unseen)
    far = streamed.strangeness(streamed.assign(projections), streamed.residuals(unseen, projections)) > 1

    assert 0.005 <= far.mean() <= 0.02


def test_a_few_held_out_pictures_calibrate_a_large_corpus_too(mapped: Floats) -> None:
    alarms = []
    for seed in range(5):
        few = np.random.default_rng(seed).permutation(HELD_OUT)[:20]
        streamed = fit_streamed(mapped, ROWS, few, settings(1000), seed)
        unseen = mapped[HELD_OUT]
        projections = streamed.project(unseen)
        residuals = streamed.residuals(unseen, projections)
        alarms.append(float((streamed.strangeness(streamed.assign(projections), residuals) > 1).mean()))

    assert 0.002 <= np.mean(alarms) <= 0.025  # the farthest of 20 alone: 0.048 in the mean


def test_equal_seeds_give_equal_arrays(mapped: Floats) -> None:
    first, again = (fit_streamed(mapped, ROWS, HELD_OUT, settings(1000), 3) for _ in range(2))

    assert first.to_files() == again.to_files()


def test_the_champions_clusters_are_continued_in_a_large_corpus_too(mapped: Floats) -> None:
    champion = np.random.default_rng(0).permutation(KINDS)[np.arange(N) % KINDS].astype(np.int64)
    champion[2000:] = np.repeat(np.arange(KINDS)[::-1], (N - 2000) // KINDS)

    streamed = fit_streamed(mapped, ROWS, HELD_OUT, settings(1000), 0, champion)

    labels = streamed.assign(streamed.project(mapped[ROWS])).indices
    assert (labels == champion[ROWS]).mean() >= 0.97


def test_a_corpus_within_the_size_is_fitted_at_once_to_the_same_arrays(embeddings: Floats) -> None:
    at_once = fit_clusterer(embeddings[ROWS], embeddings[HELD_OUT], settings(N), 0)

    assert fit_any(embeddings, ROWS, HELD_OUT, settings(len(ROWS)), 0).to_files() == at_once.to_files()


def test_fewer_pictures_than_the_incremental_pca_needs_are_fitted_at_once() -> None:
    wide = np.random.default_rng(0).normal(size=(300, 200)).astype(np.float32)

    fitted = fit_any(wide, np.arange(280), np.arange(280, 300), settings(100), 0)

    assert fitted.components.shape == (6, 200)


def test_projecting_and_assigning_part_by_part_gives_what_doing_it_at_once_gives(
    embeddings: Floats, mapped: Floats, tmp_path: Path
) -> None:
    clusterer = fit_clusterer(embeddings[ROWS], embeddings[HELD_OUT], settings(N), 0)

    projections = project_parts(clusterer, mapped, tmp_path)
    found, expected = (
        assign_parts(clusterer, projections),
        clusterer.assign(clusterer.project(embeddings)),
    )

    np.testing.assert_allclose(projections, clusterer.project(embeddings), atol=1e-6)
    assert (found.indices == expected.indices).mean() > 0.999
    np.testing.assert_allclose(found.distances, expected.distances, atol=1e-5)
