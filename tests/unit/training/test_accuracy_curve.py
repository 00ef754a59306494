from pathlib import Path

import pytest
import torch

from model_store.architecture import Architecture
from model_store.autoencoder import Encoder
from model_store.bundle_files import DECODER, ENCODER
from model_store.encoders import new_encoder
from tests.unit.training import tiny_runs
from training.accuracy_curve import AccuracyCurve
from training.course import COURSE, Course
from training.fit_settings import FitSettings
from training.labels import MIN_LABELLED, Labels

pytestmark = pytest.mark.usefixtures("one_thread")
FIT = FitSettings.model_validate(tiny_runs.FIT)


def encoder() -> Encoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return new_encoder(Architecture.model_validate(FIT.architecture.model_dump()))


def labels(n: int) -> Labels:
    return Labels({f"img_{row}": "abc"[row % 3] for row in range(n)})


@pytest.mark.parametrize("every", [1, 4])
def test_it_looks_after_the_first_epoch_and_then_every_so_many(every: int) -> None:
    curve = AccuracyCurve(tiny_runs.corpus(), labels(60), FIT, None, every)

    seen = [epoch for epoch in range(1, 9) if curve(epoch, encoder()) is not None]

    assert seen == [1, *range(every if every > 1 else 2, 9, every)]


def test_of_a_frozen_encoder_whose_figure_cannot_change_it_looks_once() -> None:
    frozen = encoder().requires_grad_(requires_grad=False)
    curve = AccuracyCurve(tiny_runs.corpus(), labels(60), FIT, None, 1)

    assert [epoch for epoch in range(1, 5) if curve(epoch, frozen) is not None] == [1]


def test_kinds_that_differ_plainly_are_told_apart_and_unlabelled_pictures_do_not_count() -> None:
    found = AccuracyCurve(tiny_runs.corpus(), labels(60), FIT, None, 1)(1, encoder())

    assert found is not None
    assert found > 0.9


def test_too_few_labels_measure_nothing() -> None:
    assert AccuracyCurve(tiny_runs.corpus(), labels(MIN_LABELLED - 1), FIT, None, 1)(1, encoder()) is None


def test_looking_changes_nothing_of_what_is_trained(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("".join(f"img_{row},{row % 3}\n" for row in range(60)))
    settings = tiny_runs.settings()

    blind = tiny_runs.trained(tiny_runs.corpus(), settings)
    watched = tiny_runs.trained(tiny_runs.corpus(), settings.model_copy(update={"labels_file": file}))

    for name in (ENCODER, DECODER):
        assert blind.files[name] == watched.files[name]
    accuracies = [[e.accuracy for e in Course.from_bytes(t.files[COURSE]).epochs] for t in (blind, watched)]
    assert set(accuracies[0]) == {None}
    assert accuracies[1][0] is not None
