"""The main job once, end to end, on real servers: upload, train, submit, classify, look.

```
embedded stack -> pictures into the uploads bucket -> train on a part of them, promote
               -> a worker process                 -> submit all through Producer
               -> results from the bucket          -> figures, contact sheet; the training's report
```
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from console.demo_pictures import DemoPicture, write_labels
from console.stack import Stack
from console.supervisor import Child, Supervisor
from console.waiting import wait_for_results
from model_store.cluster_names import Names
from model_store.counted import counted
from model_store.registry import Registry
from model_store.results import Results
from model_store.s3 import S3Store
from model_store.signature import Signer
from producer.client import Producer
from producer.contracts import ImageRef, Result
from producer.settings import ProducerSettings
from producer.ulid import new_ulid
from training.contact_sheet import contact_sheet
from training.dataset import from_encoded
from training.evaluate import Agreement, agreement
from training.progress import Progress
from training.report.report import PAGE, Report
from training.run_report import report_of
from training.settings import Settings
from training.train import train
from training.work_folder import work_folder

COLLECTION: Final = "default"
TRAIN_SHARE: Final = 0.8  # the rest is new to the model when it is classified
THUMBNAILS: Final = 12
UPLOADED_AT_ONCE: Final = 256
PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What came of it. `lost` counts pictures without any result."""

    images: int
    by_status: Mapping[str, int]
    lost: int
    sizes: Mapping[str, int]  # pictures by cluster id
    agreement: Agreement | None
    train_s: float
    classify_s: float
    contact_sheet: Path
    report: Path | None

    @property
    def images_per_s(self) -> float:
        """Pictures per second, from the first submit to the last stored result."""
        return self.images / self.classify_s


def run_demo(
    pictures: Sequence[DemoPicture],
    settings: Settings,
    stack: Stack,
    sheet: Path,
    progress: Progress,
    log: Path,
) -> DemoReport:
    """Do it all on a running stack.

    Args:
        pictures: at least some hundred.
        settings: with the stack's store and broker.
        stack: where.
        sheet: the contact sheet is written here.
        progress: told how far it is.
        log: the worker's log is written here.
    """
    uploads = S3Store(stack.uploads_bucket, settings.store)
    refs = _upload(pictures, uploads, progress)
    child = Child("worker", [sys.executable, "-m", "console.cli", "worker"], stack.environment(), grace_s=10)
    with log.open("w") as out, Supervisor([child], out=out):  # loads its libraries while we train
        store = S3Store(stack.bucket, settings.store)
        started = time.monotonic()
        report, trained_at = _train(pictures, settings, store, progress)
        train_s = trained_at - started
        results, classify_s = _classify(refs, settings, Results(store, COLLECTION), progress)
    by_key = {ref.image_id: picture for ref, picture in zip(refs, pictures, strict=True)}
    sizes = _draw(results, by_key, sheet)
    for bucket in (uploads, store):
        bucket.close()
    statuses = [result.status for result in results.values()]
    return DemoReport(
        images=len(refs),
        by_status={
            status: statuses.count(status) for status in ("assigned", "unknown", "rejected", "failed")
        },
        lost=len(refs) - len(results),
        sizes=sizes,
        agreement=_agreement(results, by_key),
        train_s=train_s,
        classify_s=classify_s,
        contact_sheet=sheet,
        report=_written(report, sheet.parent),
    )


def _upload(pictures: Sequence[DemoPicture], uploads: S3Store, progress: Progress) -> list[ImageRef]:
    progress.stage("upload", len(pictures))
    for start in range(0, len(pictures), UPLOADED_AT_ONCE):
        part = pictures[start : start + UPLOADED_AT_ONCE]
        for outcome in uploads.put_many({picture.key: picture.data for picture in part}).values():
            if not isinstance(outcome, str):
                raise outcome
        progress.advance(start + len(part))
    return [
        ImageRef(image_id=f"img_{index:05d}", bucket=uploads.bucket, key=picture.key)
        for index, picture in enumerate(pictures)
    ]


def _train(
    pictures: Sequence[DemoPicture], settings: Settings, store: S3Store, progress: Progress
) -> tuple[Report | None, float]:
    """Train and promote; gives the report, which comes after that, and the moment in between."""
    order = np.random.default_rng(0).permutation(len(pictures))
    chosen = sorted(order[: round(len(pictures) * TRAIN_SHARE)])
    with work_folder(settings.training.workdir) as workdir:
        corpus = from_encoded(
            ((pictures[i].key, pictures[i].data) for i in chosen),
            settings.training.preprocess,
            settings.decode,
            workdir,
            source="the demo's pictures",
        )
        training = settings.training.model_copy(update={"labels_file": write_labels(pictures, workdir)})
        trained = train(corpus, training, progress, source="folder", collection=COLLECTION)
        signer = Signer.from_file(training.signing_key_file)
        registry = Registry(store, COLLECTION, signer=signer)
        target = registry.publish(trained.manifest, trained.files)
        registry.promote(target, reason="demo", expected_generation=0)
        moment = time.monotonic()
        progress.stage("report")
        return report_of(trained, corpus, training, Names(), "trained by the demo, became champion"), moment


def _written(report: Report | None, out: Path) -> Path | None:
    if report is None:
        return None
    for name, data in report.files.items():
        (out / name).write_bytes(data)
    return out / PAGE


def _classify(
    refs: Sequence[ImageRef], settings: Settings, results: Results, progress: Progress
) -> tuple[dict[str, Result], float]:
    """Submit each picture as it would be uploaded, one by one, and wait for the results."""
    progress.stage("classify", len(refs))
    first = new_ulid()
    started = time.monotonic()
    with Producer(settings.broker, ProducerSettings(timeout_s=30)) as producer:
        for ref in refs:
            producer.submit(ref, collection=COLLECTION)
    found = wait_for_results(
        results,
        [ref.image_id for ref in refs],
        not_before=first,
        patience_s=PATIENCE_S,
        on_progress=progress.advance,
    )
    return found, time.monotonic() - started


def _agreement(results: Mapping[str, Result], pictures: Mapping[str, DemoPicture]) -> Agreement | None:
    pairs = [
        (pictures[image_id].label, result.cluster.id)
        for image_id, result in results.items()
        if result.cluster is not None
    ]
    if len({label for label, _ in pairs} - {None}) < 2:
        return None
    labels, clusters = zip(*[(str(label), cluster) for label, cluster in pairs], strict=True)
    return agreement(np.array(labels), np.array(clusters))


def _draw(results: Mapping[str, Result], pictures: Mapping[str, DemoPicture], path: Path) -> dict[str, int]:
    """Draw a row of the most typical pictures per cluster; gives the clusters' sizes, largest first."""
    clusters: dict[str, list[Result]] = {}
    for result in results.values():
        if result.status == "assigned" and result.cluster is not None:
            clusters.setdefault(result.cluster.id, []).append(result)
    ordered = sorted(clusters.items(), key=lambda item: -len(item[1]))
    groups = []
    for cluster_id, members in ordered:
        nearest = sorted(members, key=lambda result: result.distance or 0.0)[:THUMBNAILS]
        thumbnails = [_open(pictures[result.image_id].data) for result in nearest]
        groups.append((f"{cluster_id}\n{counted(len(members), 'picture')}", thumbnails))
    path.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(groups, path)
    return {cluster_id: len(members) for cluster_id, members in ordered}


def _open(data: bytes) -> Image.Image:
    with Image.open(BytesIO(data)) as image:
        return ImageOps.exif_transpose(image).convert("RGB")
