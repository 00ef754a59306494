"""What `shoal train` does with a corpus: a model, judged like the trainer's, in the store or in a folder.

```
with a store    train beside the champion -> publish -> gates passed, or forced: champion; else challenger
with --out      train -> gates that need no champion -> files
then            the report (`training/run_report.py`), whatever becomes of it
```
Killed on the way, the same command goes on from its last checkpoint (`training/command_checkpoints.py`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from console.sources import corpus_of_ledger, corpus_of_path
from console.store import Connection
from model_store.cluster_names import Names
from model_store.exclusion import check_exclusion
from model_store.preprocess import Preprocess
from model_store.registry import Alias, Registry, Target
from model_store.signature import Signer
from producer.errors import PreconditionFailed
from training.candidate import Candidates
from training.checkpoint import TimedCheckpoints
from training.command_checkpoints import FileCheckpoints, StoreCheckpoints
from training.corpus import Corpus
from training.progress import Progress
from training.promotion import Verdict, decide
from training.report.report import Report
from training.run_report import keep_report, known_names, report_of
from training.settings import Settings
from training.train import Trained, train

SAID: Final = "shoal train"  # who promoted, in the champion's history


@dataclass(frozen=True, slots=True)
class NewModel:
    """A finished model, what the gates say of it, and the champion's alias if it became that."""

    trained: Trained
    verdict: Verdict
    alias: Alias | None = None
    kept: str = ""  # why it did not become champion, though that was wanted
    report: Report | None = None

    @property
    def became(self) -> str:
        """Say what came of it."""
        if self.alias is not None:
            return f"became champion: {self.verdict.reason if self.verdict.promote else self.alias.reason}"
        return f"stays challenger: {self.kept}" if self.kept else "not promoted"


@dataclass(frozen=True, slots=True)
class Promotion:
    """Whether the model is to become champion, and the reason for it where gates do not count."""

    wanted: bool = True
    forced: str | None = None


def into_folder(
    source: Path, collection: str, settings: Settings, workdir: Path, progress: Progress, out: Path
) -> NewModel:
    """Train on a folder or an array and write the bundle; no server is asked.

    Raises:
        TrainingFailed: too few pictures, or the loss is no longer finite.
    """
    training = settings.training
    checkpoints = FileCheckpoints(out, training.checkpoint_every_s)
    with _told_how_to_go_on(checkpoints, progress):
        corpus = corpus_of_path(source, settings, workdir, progress)
        trained = train(
            corpus,
            training,
            progress,
            source=kind(source),
            collection=collection,
            checkpoints=checkpoints,
            workdir=workdir,
        )
    verdict = decide(trained.quality, None, training.promotion)
    model = NewModel(trained.with_gates(verdict.gates), verdict)
    write(model, out)
    checkpoints.clear()
    progress.stage("report")
    report = report_of(model.trained, corpus, training, Names(), "trained by hand, to a folder")
    model = replace(model, report=report)
    write(model, out)
    return model


def into_store(
    conn: Connection,
    source: Path | None,
    collection: str,
    settings: Settings,
    workdir: Path,
    progress: Progress,
    promotion: Promotion,
) -> NewModel:
    """Train on a folder, an array or the ledger, publish, and promote what passes its gates.

    Raises:
        TrainingFailed: too few pictures, or the loss is no longer finite.
        StoreUnavailable: nothing was promoted; the same command goes on where it was.
    """
    signer = Signer.from_file(settings.training.signing_key_file)
    if promotion.wanted:
        check_exclusion(conn.store, racers=2, rounds=1)
    registry = conn.registry(collection, signer)
    champion = registry.alias("champion")

    def read(preprocess: Preprocess, folder: str = "champion") -> Corpus:
        if source is not None:
            return corpus_of_path(source, settings, workdir / folder, progress, preprocess)
        return corpus_of_ledger(conn, collection, settings, workdir / folder, progress, preprocess)

    checkpoints = StoreCheckpoints(conn.store, collection, settings.training.checkpoint_every_s)
    with _told_how_to_go_on(checkpoints, progress):
        corpus = read(settings.training.preprocess, "candidate")
        trained, verdict = Candidates(registry, settings.training, progress).make(
            corpus,
            champion,
            read,
            taken=conn.cluster_history(collection).ids(),
            checkpoints=checkpoints,
            source=kind(source),
            workdir=workdir,
        )
    progress.stage("publish")
    target = registry.publish(trained.manifest, trained.files)
    model, names = NewModel(trained, verdict), conn.cluster_names(collection)
    if promotion.wanted:
        model = _promoted(
            model, registry, target, champion, promotion, lambda: names.inherit(trained.matched.heirs())
        )
    checkpoints.clear()
    progress.stage("report")
    became = f"trained by hand, {model.became}"
    report = report_of(trained, corpus, settings.training, known_names(names), became)
    if report is not None:
        keep_report(conn.store, collection, target.version, report, settings.training.report.kept)
    return replace(model, report=report)


@contextmanager
def _told_how_to_go_on(checkpoints: TimedCheckpoints, progress: Progress) -> Iterator[None]:
    """Say what is kept when the work inside is stopped by hand."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if checkpoints.kept:
            progress.note("stopped; its last checkpoint is kept, from which the same command goes on")
        else:
            progress.note("stopped before its first checkpoint: nothing of this attempt is kept")
        raise


def _promoted(
    model: NewModel,
    registry: Registry,
    target: Target,
    champion: Alias | None,
    promotion: Promotion,
    hand_names_on: Callable[[], object],
) -> NewModel:
    """Make it the champion if it passed its gates or is forced; else the challenger."""
    reason = SAID if model.verdict.promote else f"forced: {promotion.forced}"
    kept = model.verdict.reason
    if model.verdict.promote or promotion.forced is not None:
        hand_names_on()
        expected = champion.generation if champion else 0
        try:
            alias = registry.promote(target, reason=reason, expected_generation=expected)
        except PreconditionFailed as error:
            kept = str(error)
        else:
            return NewModel(model.trained, model.verdict, alias)
    registry.set_challenger(target, reason=kept)
    return NewModel(model.trained, model.verdict, kept=kept)


def kind(source: Path | None) -> str:
    """Name a source as manifests do."""
    if source is None:
        return "ledger"
    return "npy" if source.suffix == ".npy" else "folder"


def write(model: NewModel, out: Path) -> None:
    """Write a bundle's files into a folder, and those of its report."""
    out.mkdir(parents=True, exist_ok=True)
    report = model.report.files if model.report else {}
    for name, data in {**model.trained.all_files(), **report}.items():
        (out / name).write_bytes(data)
