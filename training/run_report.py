"""The report at the end of a run. Whatever is wrong with it is logged: the run and its model stand."""

import structlog

from model_store.cluster_names import ClusterNames, Names
from model_store.object_store import ObjectStore
from model_store.predictor import best_device
from producer.errors import ShoalError
from training.corpus import Corpus
from training.labels import Labels
from training.report.facts import Facts
from training.report.report import Report, make_report
from training.report.subject import Subject
from training.reports import Reports
from training.run_record import RunRecord
from training.train import TrainSettings
from training.trained import Trained

log = structlog.get_logger(__name__)


def report_of(
    trained: Trained,
    corpus: Corpus,
    settings: TrainSettings,
    names: Names,
    verdict: str,
    told: Facts = (),
) -> Report | None:
    """Make the report of what was just trained; None if none is wanted, or if it cannot be made.

    Args:
        trained: what the training left.
        corpus: that it was trained on, still readable.
        settings: of the training.
        names: what people call clusters.
        verdict: what became of the model, in words.
        told: further facts of the run.
    """
    if not settings.report.enabled:
        return None
    try:
        subject = Subject.of(
            trained,
            corpus,
            Labels.read(settings.labels_file),
            best_device(settings.fit.device),
            lambda cluster_id: names.display(cluster_id).name,
        )
        return make_report(subject, settings.report, verdict, told)
    except Exception as error:
        log.warning(
            "no report could be made", version=trained.manifest.version, reason=str(error), exc_info=True
        )
        return None


def known_names(names: ClusterNames) -> Names:
    """Read what people call clusters; nothing if that fails."""
    try:
        return names.read()
    except ShoalError as error:
        log.warning("the report names no clusters", reason=str(error))
        return Names()


def keep_report(store: ObjectStore, collection: str, slot: str, report: Report, kept: int) -> bool:
    """Store a report; False if that failed."""
    try:
        Reports(store, collection).save(slot, report, kept)
    except Exception as error:  # noqa: BLE001 - as above
        log.warning("the report could not be stored", slot=slot, reason=str(error))
        return False
    return True


def report_run(
    store: ObjectStore,
    record: RunRecord,
    trained: Trained,
    corpus: Corpus,
    settings: TrainSettings,
    names: Names,
) -> None:
    """Make and store the report of a run that has ended."""
    told = (
        ("run", record.slot),
        ("asked for by", f"{record.trigger}{f': {record.trigger_reason}' if record.trigger_reason else ''}"),
        ("began", f"{record.started_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("attempt", str(record.attempt)),
    )
    became = {"promoted": "became champion", "challenger": "stays challenger"}.get(record.state, record.state)
    report = report_of(trained, corpus, settings, names, f"{became}: {record.reason}", told)
    if report is not None:
        keep_report(store, record.collection, record.slot, report, settings.report.kept)
