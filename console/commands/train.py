"""`shoal train`: a model from pictures, now and here."""

import tempfile
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from pydantic import ValidationError

from console.output import Bars, err, print_json
from console.sources import corpus_of_ledger, corpus_of_path
from console.store import connection
from model_store.cluster_names import Names
from model_store.exclusion import check_exclusion
from model_store.layout import Layout
from model_store.predictor import best_device
from model_store.preprocess import Preprocess
from model_store.process_settings import load_settings
from model_store.registry import Alias, Registry
from model_store.signature import Signer
from producer.errors import BundleInvalid, ConfigurationError
from training.corpus import Corpus
from training.predecessor import Predecessor, Reread, load_predecessor
from training.progress import Progress
from training.report.report import PAGE, Report
from training.run_report import keep_report, report_of
from training.settings import Settings
from training.train import Trained
from training.train import train as train_model


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)


def _number_or_auto(given: str | None) -> str | None:
    if given is not None and given != "auto" and not (given.isdecimal() and int(given) > 0):
        raise typer.BadParameter("a number from 1 on, or auto")
    return given


def train(
    source: Annotated[
        Path | None,
        typer.Argument(help="folder of pictures, or .npy of (N, H, W, 3) uint8; none: the ledger"),
    ] = None,
    collection: Annotated[str, typer.Option(help="which the model is for")] = "default",
    n_clusters: Annotated[
        str | None,
        typer.Option(help="K, or auto: chosen by stability and silhouette", callback=_number_or_auto),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="pixel, pure, or distilled (best for photographs)")
    ] = None,
    input_size: Annotated[int | None, typer.Option(help="side of the network's input: 32, 64 or 96")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="at most")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="equal seeds give equal models on a CPU")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda")] = None,
    out: Annotated[
        Path | None, typer.Option(help="write the bundle to this folder; needs no servers")
    ] = None,
    promote: Annotated[bool, typer.Option(help="make it the champion")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object at the end")] = False,
) -> None:
    """Train a model, publish it, and make it the champion. Further settings: SHOAL_TRAINING__..."""
    Layout(collection)  # a wrong name is told before the work, not after it
    settings = _overridden(
        {
            "cluster": {"n_clusters": n_clusters},
            "fit": {
                "recipe": recipe,
                "epochs": epochs,
                "min_steps": 1 if epochs else None,  # asked for a few, it gets a few
                "random_state": seed,
                "device": device,
                "architecture": {"input_size": input_size},
            },
        }
    )
    with Bars() as bars, tempfile.TemporaryDirectory(prefix="shoal-corpus-") as workdir:
        if out is not None and source is not None:
            done = _train(source, collection, settings, Path(workdir), bars)
        else:
            done = _train_and_publish(source, collection, settings, Path(workdir), bars, promote)
        if out is not None:
            _write(done, out)
    _say(done, out, as_json)


def _overridden(given: dict[str, Any]) -> Settings:
    """Lay what was given on the command line over the settings."""
    settings = load_settings(Settings)
    merged = _merge(settings.training.model_dump(), given)
    try:
        training = type(settings.training).model_validate(merged)
    except ValidationError as error:
        faults = "; ".join(f"{e['loc'][-1]}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"these options do not fit: {faults}") from error
    return settings.model_copy(update={"training": training})


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for name, value in above.items():
        if isinstance(value, dict):
            result[name] = _merge(result[name], value)
        elif value is not None:
            result[name] = value
    return result


class _Done(NamedTuple):
    trained: Trained
    report: Report | None
    alias: Alias | None = None


def _train(source: Path, collection: str, settings: Settings, workdir: Path, bars: Progress) -> _Done:
    corpus = corpus_of_path(source, settings, workdir, bars)
    trained = train_model(corpus, settings.training, bars, source=_kind(source), collection=collection)
    bars.stage("report")
    return _Done(
        trained, report_of(trained, corpus, settings.training, Names(), "trained by hand, to a folder")
    )


def _kind(source: Path | None) -> str:
    if source is None:
        return "ledger"
    return "npy" if source.suffix == ".npy" else "folder"


def _train_and_publish(
    source: Path | None, collection: str, settings: Settings, workdir: Path, bars: Progress, promote: bool
) -> _Done:
    signer = Signer.from_file(settings.training.signing_key_file)
    with connection(settings) as conn:
        if promote:
            check_exclusion(conn.store, racers=2, rounds=1)
        registry = conn.registry(collection, signer)
        champion = registry.alias("champion")

        def read(preprocess: Preprocess, folder: str = "champion") -> Corpus:
            if source is not None:
                return corpus_of_path(source, settings, workdir / folder, bars, preprocess)
            return corpus_of_ledger(conn, collection, settings, workdir / folder, bars, preprocess)

        corpus = read(settings.training.preprocess, "candidate")
        trained = train_model(
            corpus,
            settings.training,
            bars,
            source=_kind(source),
            collection=collection,
            parent=champion.version if champion else None,
            predecessor=_predecessor(registry, champion, corpus, settings, read) if champion else None,
            taken=conn.cluster_history(collection).ids(),
        )
        bars.stage("publish")
        target = registry.publish(trained.manifest, trained.files)
        if promote:
            conn.cluster_names(collection).inherit(trained.matched.heirs())
        alias = registry.promote(target.version, reason="shoal train") if promote else None
        bars.stage("report")
        verdict = "trained by hand, " + ("became champion" if promote else "not promoted")
        names = conn.cluster_names(collection).read()
        report = report_of(trained, corpus, settings.training, names, verdict)
        if report is not None:
            keep_report(conn.store, collection, target.version, report, settings.training.report.kept)
        return _Done(trained, report, alias)


def _predecessor(
    registry: Registry, champion: Alias, corpus: Corpus, settings: Settings, read: Reread
) -> Predecessor | None:
    """Show the champion the corpus, so that clusters keep their ids; None if it cannot be loaded."""
    device = best_device(settings.training.fit.device)
    try:
        return load_predecessor(registry, champion, corpus, settings.training.preprocess, read, device)
    except BundleInvalid as error:
        err.print(f"the champion cannot be compared with, all clusters are new: {error}", highlight=False)
        return None


def _write(done: _Done, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    report = done.report.files if done.report else {}
    for name, data in {**done.trained.all_files(), **report}.items():
        (out / name).write_bytes(data)


def _say(done: _Done, out: Path | None, as_json: bool) -> None:
    manifest, alias = done.trained.manifest, done.alias
    if as_json:
        print_json(
            {
                "version": manifest.version,
                "collection": manifest.collection,
                "n_images": manifest.snapshot.n_images,
                "n_rejected": manifest.snapshot.n_rejected,
                "n_duplicates": manifest.snapshot.n_duplicates,
                "n_clusters": manifest.n_clusters,
                "metrics": manifest.metrics,
                "promoted": alias is not None,
                "generation": alias.generation if alias else None,
                "out": str(out) if out else None,
                "report": done.report is not None,
            }
        )
        return
    where = f"written to {out}" if out else "published"
    serves = f", champion of {manifest.collection} (generation {alias.generation})" if alias else ""
    err.print(f"model {manifest.version} {where}{serves}", highlight=False)
    err.print(
        f"  trained on {manifest.snapshot.n_images} pictures, {manifest.n_clusters} clusters", highlight=False
    )
    if done.report is not None:
        where = str(out / PAGE) if out else f"`shoal models report {manifest.version}` fetches it"
        err.print(f"  report: {where}", highlight=False, soft_wrap=True)
