"""One retraining run, step by step; ends in a recorded verdict, whatever happens.

```
create runs/{slot}                    another has it -> nothing to do
snapshot of the ledger, kept          too few -> skipped
originals, near duplicates left out
train, judge beside the champion      candidate.py
put verdict and version in the record the fence: only who still holds the run gets past here
publish, with the verdict in the manifest
hand names on, promote; or point `challenger` at it  the fence again
the report                            run_report.py; whatever becomes of it
```

A run whose trainer died is taken up by another, once: with the same snapshot, from the last checkpoint, and
if a version was published already, from there. `run_lease.py` tells why no two trainers do one run.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from model_store.cluster_history import ClusterHistory
from model_store.cluster_names import ClusterNames
from model_store.images import ImageSource
from model_store.object_store import ObjectStore
from model_store.preprocess import Preprocess
from model_store.registry import Alias, Registry
from model_store.signature import Signer, TrustedKeys
from producer.contracts import ImageRef
from producer.errors import ShoalError
from training.candidate import Candidates
from training.checkpoint import RunCheckpoints
from training.corpus import Corpus
from training.progress import Progress
from training.run_corpus import RunCorpus
from training.run_lease import RunLease, RunLost, Stall
from training.run_outcome import RunOutcome
from training.run_progress import RunProgress
from training.run_record import RunRecord, Trigger, version_of
from training.run_report import known_names, report_run
from training.runs import Runs
from training.settings import Settings
from training.trained import Trained
from training.work_folder import work_folder

log = structlog.get_logger(__name__)


class Retraining:
    """Retrains one collection."""

    def __init__(
        self,
        collection: str,
        store: ObjectStore,
        images: ImageSource,
        settings: Settings,
        progress: Progress,
        signer: Signer | None = None,
        on_stall: Callable[[], object] = lambda: None,
    ) -> None:
        self._store = store
        stall = Stall(settings.training.stall_limit_s, on_stall)
        self._runs = Runs(store, collection, settings.training.lease_s, stall)
        trusted = TrustedKeys(settings.store.trusted_keys)
        self._registry = Registry(store, collection, trusted=trusted, signer=signer)
        self._names = ClusterNames(store, collection)
        self._outcome = RunOutcome(store, self._registry, self._names)
        self._history = ClusterHistory(store, collection)
        self._images = images
        self._settings = settings
        self._training = settings.training
        self._progress = progress
        self._lease: RunLease | None = None

    @property
    def under_way(self) -> RunRecord | None:
        """The run that this process is at work on, if it is."""
        return self._lease.record if self._lease and self._lease.held else None

    def run(self, slot: str, trigger: Trigger = "by hand", reason: str = "") -> RunRecord | None:
        """Do the run of this slot; None if another has begun it.

        Raises:
            Exception: whatever went wrong, after it was recorded as `failed`.
        """
        lease = self._runs.begin(slot, trigger, reason)
        if lease is None:
            log.info("this run exists already", slot=slot)
            return None
        log.info("run begins", slot=slot, trigger=trigger, reason=reason)
        return self._hold(lease)

    def take_up(self, dead: RunRecord) -> RunRecord | None:
        """Go on with a run whose trainer died; None if another does, or if it has died twice.

        Raises:
            Exception: as `run`.
        """
        if dead.version is not None:
            self._outcome.heed_erasures(dead.version)
        lease = self._runs.take_up(dead, self._outcome.became(dead))
        if lease is None:
            self._clear(dead)
            return None
        log.warning("run is taken up again, its trainer died", slot=dead.slot, attempt=lease.record.attempt)
        return self._hold(lease)

    def _hold(self, lease: RunLease) -> RunRecord | None:
        slot, self._lease = lease.record.slot, lease
        with lease:
            try:
                record = self._run(lease)
            except RunLost as error:
                log.warning("run goes on elsewhere, and ends here", slot=slot, reason=str(error))
                return None
            except Exception as error:
                if self._is_carried_out(lease):
                    return lease.record
                reason = str(error) if isinstance(error, ShoalError) else f"{type(error).__name__}: {error}"
                self._fail(lease, reason)
                raise
        log.info("run ended", slot=slot, state=record.state, reason=record.reason, version=record.version)
        return record

    def _is_carried_out(self, lease: RunLease) -> bool:
        """After an error: the store may have done what it was asked, and only its answer was lost.

        If that cannot be known the run is left as it is: whoever takes it up carries its verdict out.
        """
        try:
            became = self._outcome.became(lease.record)
            if became is not None:
                self._end(lease, state=became)
        except ShoalError as error:
            log.warning("how the run ended is not known", slot=lease.record.slot, reason=str(error))
            return False
        return became is not None

    def _fail(self, lease: RunLease, reason: str) -> None:
        try:
            self._end(lease, state="failed", reason=reason)
        except ShoalError as error:  # then its heart stands still, and another trainer takes it up
            log.warning("the run's end could not be recorded", slot=lease.record.slot, reason=str(error))

    def _run(self, lease: RunLease) -> RunRecord:
        if lease.record.version is not None and self._outcome.is_published(lease.record.version):
            return self._conclude(lease)  # the trainer died after that
        pictures = self._pictures(lease.record)
        refs = pictures.refs()
        if len(refs) < self._training.min_images:
            reason = f"{len(refs)} usable pictures in the ledger, it takes {self._training.min_images}"
            return self._end(lease, state="skipped", reason=reason, n_images=len(refs))
        champion = self._registry.alias("champion")
        progress = RunProgress(self._progress, lease)
        with work_folder(self._training.workdir) as workdir:
            corpus = pictures.read(refs, self._training.preprocess, workdir / "candidate", progress)
            if len(corpus) < self._training.min_images:
                reason = f"{len(corpus)} different pictures, it takes {self._training.min_images}"
                return self._end(lease, state="skipped", reason=reason, n_images=len(corpus))
            trained = self._train(lease, corpus, champion, pictures, refs, workdir / "champion")
            self._registry.publish(trained.manifest, trained.files, confirm=lease.save)
            ended = self._conclude(lease)
            # it has ended: nothing waits for its report, and nothing fails with it
            report_run(self._store, ended, trained, corpus, self._training, known_names(self._names))
        return ended

    def _train(
        self,
        lease: RunLease,
        corpus: Corpus,
        champion: Alias | None,
        pictures: RunCorpus,
        refs: Sequence[ImageRef],
        workdir: Path,
    ) -> Trained:
        """Train and judge; when it returns, verdict and version stand in the run's record."""
        record = lease.record
        progress = RunProgress(self._progress, lease)

        def reread(preprocess: Preprocess) -> Corpus:
            taken = frozenset(corpus.names)
            chosen = [ref for ref in refs if ref.image_id in taken]
            return pictures.read(chosen, preprocess, workdir, progress, leave_out_alike=False)

        trained, verdict = Candidates(self._registry, self._training, progress).make(
            corpus,
            champion,
            reread,
            version=version_of(record),
            taken=self._history.ids(),
            checkpoints=RunCheckpoints(
                self._store,
                record.collection,
                record.slot,
                record.attempt,
                self._training.checkpoint_every_s,
            ),
            workdir=workdir.parent,
        )
        lease.save(
            version=trained.manifest.version,
            promote=verdict.promote,
            reason=verdict.reason,
            gates=verdict.gates,
            generation=champion.generation if champion else 0,
            n_images=len(corpus.pixels),
            snapshot_digest=corpus.digest,
        )
        return trained

    def _conclude(self, lease: RunLease) -> RunRecord:
        return self._end(lease, **self._outcome.carry_out(lease.save()))

    def _pictures(self, record: RunRecord) -> RunCorpus:
        return RunCorpus(self._store, record.collection, record.slot, self._images, self._settings)

    def _end(self, lease: RunLease, **how: object) -> RunRecord:
        record = lease.end(**how)
        self._clear(record)
        return record

    def _clear(self, record: RunRecord) -> None:
        """Remove what only the next attempt would have needed; left behind, it harms nobody."""
        try:
            RunCheckpoints(self._store, record.collection, record.slot, record.attempt, 0).clear()
            self._pictures(record).clear()
        except ShoalError as error:
            log.warning("what the run kept could not be removed", slot=record.slot, reason=str(error))
