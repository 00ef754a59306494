import numpy as np
import pytest

from model_store.bundle import load_decoder
from model_store.bundle_files import CLUSTERS, DECODER, ClusterFile
from tests.unit.training import tiny_runs
from training.course import Course
from training.labels import Labels
from training.report.findings import _no_picture_twice, find
from training.report.report import make_report
from training.report.subject import Subject

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_published_model_puts_the_pictures_where_the_run_that_made_it_did() -> None:
    corpus = tiny_runs.corpus()
    trained = tiny_runs.trained(corpus, tiny_runs.settings())
    bundle = trained.load()

    later = Subject.of_bundle(
        bundle,
        load_decoder(bundle.manifest, trained.files[DECODER]),
        ClusterFile.from_bytes(trained.files[CLUSTERS]),
        Course(),
        corpus,
        Labels({}),
        "cpu",
    )

    np.testing.assert_array_equal(later.assignment.indices, trained.assignment.indices)
    np.testing.assert_allclose(later.assignment.distances, trained.assignment.distances, atol=1e-4)
    assert len(later.held_out) == 0


def test_a_cluster_shows_the_nearest_the_least_certain_and_the_farthest() -> None:
    corpus = tiny_runs.corpus()
    subject = tiny_runs.subject(tiny_runs.trained(corpus, tiny_runs.settings()), corpus)

    findings = find(subject, tiny_runs.FEW)

    distances = subject.assignment.distances
    assert [group.number for group in findings.groups] == [1, 2, 3]
    assert sum(group.size for group in findings.groups) == tiny_runs.N
    for group in findings.groups:
        members = np.flatnonzero(subject.assignment.indices == group.index)
        assert distances[group.typical[0]] == distances[members].min()
        assert distances[group.outliers[0]] == distances[members].max()
        assert set(group.borderline.tolist()) <= set(members.tolist())
        margins = dict(zip(findings.sample.rows.tolist(), findings.sample.margins.tolist(), strict=True))
        left = set(members.tolist()) - {*group.typical.tolist(), *group.outliers.tolist()}
        assert margins[int(group.borderline[0])] == min(margins[row] for row in left)
        assert group.silhouette is not None


@pytest.mark.parametrize(("n", "lines"), [(0, (0, 0, 0)), (1, (1, 0, 0)), (2, (1, 0, 1)), (7, (3, 2, 2))])
def test_no_picture_of_a_small_cluster_is_shown_twice(n: int, lines: tuple[int, int, int]) -> None:
    near = np.arange(n)

    shown = _no_picture_twice(near, near, near[::-1], 8)

    assert tuple(map(len, shown)) == lines
    assert sorted(np.concatenate(shown).tolist()) == near.tolist()


def test_equal_models_give_equal_files() -> None:
    corpus = tiny_runs.corpus()
    subject = tiny_runs.subject(tiny_runs.trained(corpus, tiny_runs.settings()), corpus)

    assert make_report(subject, tiny_runs.FEW).files == make_report(subject, tiny_runs.FEW).files
