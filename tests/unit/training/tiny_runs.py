"""Trainings that take a second, and what a report is made of after them."""

from tests.tiny_model import tiny_pixels
from training.corpus import Corpus
from training.labels import Labels
from training.progress import SILENT, Progress
from training.report.settings import ReportSettings
from training.report.subject import NameOf, Subject
from training.train import TrainSettings, train
from training.trained import Trained

N = 90
FEW = ReportSettings(map_steps=250, reconstructions=4, pictures_per_row=3)
FIT = {
    "recipe": "pixel",
    "architecture": {"widths": (4, 8), "embedding_dim": 8},
    "min_steps": 30,
    "max_steps": 30,
    "batch_size": 16,
    "device": "cpu",
}


def settings(**cluster: object) -> TrainSettings:
    return TrainSettings.model_validate(
        {"fit": FIT, "cluster": {"n_clusters": 3, "n_components": 6, "n_init": 2} | cluster}
    )


def corpus(n: int = N, suffix: str = "") -> Corpus:
    names = tuple(f"img_{row}{suffix}" for row in range(n))
    return Corpus(tiny_pixels(n), names, digest="d" * 64, rejected={"decode.corrupt": 2}, n_duplicates=1)


def trained(corpus: Corpus, settings: TrainSettings, progress: Progress = SILENT) -> Trained:
    return train(corpus, settings, progress, source="npy", collection="cats")


def subject(
    trained: Trained, corpus: Corpus, labels: Labels | None = None, name_of: NameOf = lambda _: None
) -> Subject:
    return Subject.of(trained, corpus, labels or Labels({}), "cpu", name_of)
