"""`shoal models report`: the report of a version, as it was made or made anew."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.commands.models_diff import target_of
from console.output import Bars, err, print_json
from console.sources import corpus_of_ledger, corpus_of_path
from console.store import Connection, connection
from model_store.bundle_files import CLUSTERS, ClusterFile
from model_store.process_settings import load_settings
from training.settings import Settings
from training.work_folder import work_folder

if TYPE_CHECKING:
    from training.report.report import Report

PICTURES = 5000  # of the ledger, at most: so many are shown to the model


def report(
    version: Annotated[str, typer.Argument(help="version or alias")] = "champion",
    collection: Annotated[str, typer.Option(help="whose models")] = "default",
    out: Annotated[Path, typer.Option(help="folder to write it to")] = Path("shoal-report"),
    again: Annotated[bool, typer.Option("--again", help="make it anew, with pictures of the ledger")] = False,
    images: Annotated[
        Path | None, typer.Option(help="make it with these pictures: a folder or an .npy; it is not stored")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for scripts")] = False,
) -> None:
    """Write a version's report: the stored one, or a new one where there is none (any longer)."""
    from training.report.report import PAGE  # noqa: PLC0415 - brings torch: no other of `models` needs it
    from training.reports import Reports  # noqa: PLC0415

    settings = load_settings(Settings)
    with connection(settings) as conn:
        named = target_of(conn.registry(collection), version).version
        reports = Reports(conn.store, collection)
        files: Mapping[str, bytes] = {} if again or images else reports.read(named)
        stored = bool(files)
        if not stored:
            made = _make(conn, collection, named, settings, images)
            files = made.files
            if images is None:
                reports.save(reports.slot(named), made, settings.training.report.kept)
    out.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (out / name).write_bytes(data)
    if as_json:
        print_json(
            {"version": named, "report": str(out / PAGE), "files": sorted(files), "made_anew": not stored}
        )
    else:
        err.print(f"report of {named} written to {out / PAGE}", highlight=False, soft_wrap=True)


def _make(
    conn: Connection, collection: str, version: str, settings: Settings, images: Path | None
) -> "Report":
    from model_store.bundle import load_decoder  # noqa: PLC0415
    from model_store.predictor import best_device  # noqa: PLC0415
    from training.course import COURSE, Course  # noqa: PLC0415
    from training.labels import Labels  # noqa: PLC0415
    from training.report.report import make_report  # noqa: PLC0415
    from training.report.subject import Subject  # noqa: PLC0415

    registry, device = conn.registry(collection), best_device(settings.training.fit.device)
    manifest, target = registry.manifest(version)
    bundle = registry.load(target, device)
    names = conn.cluster_names(collection).read()
    with Bars() as bars, work_folder(settings.training.workdir) as workdir:
        if images is not None:
            corpus = corpus_of_path(images, settings, workdir, bars, manifest.preprocess)
        else:
            few = settings.training.model_copy(
                update={"max_images": min(PICTURES, settings.training.max_images)}
            )
            less = settings.model_copy(update={"training": few})
            corpus = corpus_of_ledger(conn, collection, less, workdir, bars, manifest.preprocess)
        bars.stage("report")
        subject = Subject.of_bundle(
            bundle,
            load_decoder(manifest, registry.decoder(version)),
            ClusterFile.from_bytes(registry.file(version, CLUSTERS)),
            Course.from_bytes(registry.file(version, COURSE)) if COURSE in manifest.files else Course(),
            corpus,
            Labels.read(settings.training.labels_file),
            device,
            lambda cluster_id: names.display(cluster_id).name,
        )
        told = (
            (
                "pictures shown",
                f"{len(corpus):,} from {images or 'the ledger'}, {datetime.now(UTC):%Y-%m-%d}",
            ),
        )
        return make_report(subject, settings.training.report, _verdict(conn, collection, version), told)


def _verdict(conn: Connection, collection: str, version: str) -> str:
    registry = conn.registry(collection)
    for alias in ("champion", "challenger", "previous"):
        found = registry.alias(alias)
        if found is not None and found.version == version:
            return f"{alias}: {found.reason}" if found.reason else alias
    return "no alias points at it"
