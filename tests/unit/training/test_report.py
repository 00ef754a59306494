"""What the report of a run shows, and that it stands on its own."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from model_store.bundle_files import ClusterEvent
from model_store.clusterer import Assignment
from model_store.forgetting import forget
from model_store.manifest import Gate
from model_store.mentions import Ids
from tests.unit.training import tiny_runs
from training.corpus import Corpus
from training.course import COURSE, Course
from training.labels import Labels
from training.report.report import PAGE, Report, make_report
from training.report.subject import Subject
from training.trained import Trained

pytestmark = pytest.mark.usefixtures("one_thread")

FEW = tiny_runs.FEW
HOSTILE = '<script>alert("x")</script> $x^2$ \N{CJK UNIFIED IDEOGRAPH-72AC} & "quoted"'


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return tiny_runs.corpus()


@pytest.fixture(scope="module")
def trained(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    labels = Path(tmp_path_factory.mktemp("labels"), "labels.csv")
    labels.write_text("".join(f"img_{row},kind {row % 3}\n" for row in range(60)))
    settings = tiny_runs.settings(n_clusters="auto", n_clusters_range=(2, 5))
    return tiny_runs.trained(corpus, settings.model_copy(update={"labels_file": labels}))


@pytest.fixture(scope="module")
def subject(trained: Trained, corpus: Corpus) -> Subject:
    labels = Labels({f"img_{row}": f"kind {row % 3}" for row in range(60)})
    return tiny_runs.subject(trained, corpus, labels)


@pytest.fixture(scope="module")
def report(subject: Subject) -> Report:
    return make_report(subject, FEW, "became champion: passed every gate", (("run", "manual-1"),))


def page(report: Report) -> str:
    return report.files[PAGE].decode()


class Attributes(HTMLParser):
    """Collects what a page refers to, and the tags that it has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [
            value or "" for name, value in attrs if name in {"src", "href", "xlink:href", "srcset"}
        ]


def test_every_section_and_every_drawing_is_there(report: Report) -> None:
    html = page(report)

    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert headings == [
        *("The map", "Clusters", "Originals and reconstructions", "How the training went"),
        *("How many clusters", "Gates", "What became of the former clusters", "Data, run, figures"),
    ]
    assert set(report.files) == {
        *(
            "report.html",
            "map-clusters.png",
            "map-labels.png",
            "silhouettes.png",
            "distances.png",
            "loss.png",
        ),
        *("accuracy.png", "choice-of-k.png", "reconstructions.png", "sheets.png"),
    }
    assert all(data.startswith(b"\x89PNG") for name, data in report.files.items() if name != PAGE)
    for told in ("became champion", "manual-1", "2 decode.corrupt", "d" * 64, "torch 2", ">cpu<", "pixel"):
        assert told in html, told
    assert "Counted are all pictures of this report, held-out ones too" in html


def test_nothing_is_fetched_and_no_script_runs(report: Report) -> None:
    found = Attributes(page(report))

    assert found.links
    assert all(link.startswith(("data:image/jpeg;base64,", "#")) for link in found.links)
    assert "script" not in found.tags
    assert not re.search(r"https?://|url\((?!#)|@import", page(report))


def test_ids_within_the_page_are_there_once(report: Report) -> None:
    ids = re.findall(r'\sid="([^"]+)"', page(report))

    assert len(ids) == len(set(ids))
    assert {link[1:] for link in Attributes(page(report)).links if link.startswith("#")} <= set(ids)


def test_drawings_follow_the_theme(report: Report) -> None:
    svgs = "".join(re.findall(r"<svg.*?</svg>", page(report), re.DOTALL))

    assert "var(--ink)" in svgs
    assert not re.findall(r"#[0-9a-f]{6}", svgs)
    assert "prefers-color-scheme:dark" in page(report)


def test_accuracy_and_the_choice_of_k_were_kept_by_the_training(trained: Trained) -> None:
    course = Course.from_bytes(trained.files[COURSE])

    assert next(e.epoch for e in course.epochs if e.accuracy is not None) == 1
    assert course.choice is not None
    assert course.choice.n_clusters == trained.manifest.n_clusters == 3
    assert trained.manifest.files[COURSE].size_bytes == len(trained.files[COURSE])


@pytest.mark.parametrize("name", [HOSTILE, "x" * 100, "\N{DOG FACE}"])
def test_names_are_only_text_whatever_is_in_them(subject: Subject, name: str) -> None:
    labels = Labels({f"img_{row}": name for row in range(60)})
    events = (ClusterEvent(kind="died", before=("c_1",), after=(), reason=name),)
    gates = (Gate(name="probe", passed=False, reason=name),)
    hostile = replace(
        subject,
        name_of=lambda _: name,
        labels=labels,
        clusters=subject.clusters.model_copy(update={"events": events}),
        manifest=subject.manifest.model_copy(update={"gates": gates}),
        corpus=replace(subject.corpus, names=tuple(f"{name} {row}" for row in range(tiny_runs.N))),
    )

    html = page(make_report(hostile, FEW, name, ((name, name),)))

    assert "script" not in Attributes(html).tags
    assert "<script" not in html


def test_without_labels_champion_or_record_of_the_training_a_report_is_made(
    trained: Trained, corpus: Corpus
) -> None:
    subject = replace(tiny_runs.subject(trained, corpus), course=Course(), held_out=np.empty(0, np.intp))

    report = make_report(subject, FEW)

    assert not {"map-labels.png", "accuracy.png", "loss.png", "choice-of-k.png"} & set(report.files)
    html = page(report)
    for told in (
        "labels were not given",
        "no champion",
        "Not recorded",
        "not known any more",
        "None was searched",
    ):
        assert told in html, told


def test_one_cluster_makes_a_report(corpus: Corpus) -> None:
    usual = tiny_runs.settings()
    one = usual.model_copy(update={"cluster": usual.cluster.model_copy(update={"n_clusters": 1})})

    report = make_report(tiny_runs.subject(tiny_runs.trained(corpus, one), corpus), FEW)

    assert page(report).count('class="card"') == 1
    assert "silhouette not known" in page(report)


def test_a_handful_of_pictures_makes_a_report_without_a_map(trained: Trained) -> None:
    few = tiny_runs.corpus(6)
    bundle = trained.load()
    subject = replace(
        tiny_runs.subject(trained, few),
        assignment=bundle.clusterer.assign(bundle.clusterer.project(bundle.predictor.embed(few.pixels))),
        held_out=np.empty(0, np.intp),
    )

    assert "Too few pictures for a map" in page(make_report(subject, FEW))


def test_of_thousands_of_clusters_the_largest_have_cards_and_the_others_a_line(subject: Subject) -> None:
    k = 3000
    entry = subject.clusters.clusters[0]
    many = tuple(entry.model_copy(update={"index": i, "id": f"c_{i}"}) for i in range(k))
    old, rng = subject.clusterer, np.random.default_rng(0)
    clusterer = replace(
        old,
        centroids=rng.normal(size=(k, old.centroids.shape[1])).astype(np.float32),
        counts=np.ones(k, np.int64),
        distance_quantiles=np.repeat(old.distance_quantiles[:1], k, axis=0),
        unknown_distance=np.ones(k, np.float32),
    )
    indices = rng.integers(k, size=tiny_runs.N)
    assignment = Assignment(indices, rng.random(tiny_runs.N).astype(np.float32))

    report = make_report(
        replace(
            subject,
            clusterer=clusterer,
            assignment=assignment,
            clusters=subject.clusters.model_copy(update={"clusters": many}),
        ),
        FEW,
    )

    assert page(report).count('class="card"') == FEW.sheets
    assert "Another 2,960 clusters, smaller" in page(report)
    assert sum(map(len, report.files.values())) < 5_000_000


def test_every_file_that_shows_a_picture_names_it_and_goes_whole_with_it(
    report: Report, corpus: Corpus
) -> None:
    shown = sorted(report.shows)
    assert set(shown) <= set(corpus.names)

    for name in ("report.html", "sheets.png", "reconstructions.png"):
        key = f"cats/runs/r1/{name}"
        named = Ids(shown).in_object(key, report.files[name])
        for image_id in named:
            gone = forget(key, report.files[name], Ids([image_id]))
            assert gone is not None
            assert gone.data is None
    assert Ids(shown).in_object("report.html", report.files[PAGE]) == set(shown)
    pictures = report.files["sheets.png"], report.files["reconstructions.png"]
    assert set().union(*(Ids(shown).in_object("x.png", data) for data in pictures)) == set(shown)
    for name in set(report.files) - {"report.html", "sheets.png", "reconstructions.png"}:
        assert not Ids(shown).in_object(name, report.files[name])
