"""One retraining run, step by step; ends in a recorded verdict, whatever happens.

```
create runs/{slot}                    another has it -> nothing to do
snapshot of the ledger, originals     too few -> skipped
show the champion the same pictures   predecessor.py
train, carry the ids over             train.py
judge both on the held-out pictures   comparison.py
decide                                promotion.py
publish, with the verdict in the manifest
hand names on, promote; or point `challenger` at it
```
"""

import tempfile
from pathlib import Path

import structlog

from model_store.cluster_history import ClusterHistory
from model_store.cluster_names import ClusterNames
from model_store.images import ImageSource
from model_store.ledger import Ledger
from model_store.object_store import ObjectStore
from model_store.predictor import best_device
from model_store.preprocess import Preprocess
from model_store.registry import Alias, Registry
from model_store.signature import Signer, TrustedKeys
from producer.errors import BundleInvalid, ShoalError
from training.comparison import compare
from training.corpus import Corpus
from training.dataset import from_encoded
from training.predecessor import Predecessor, Reread, load_predecessor
from training.progress import Progress
from training.promotion import decide
from training.run_record import RunRecord, Runs
from training.settings import Settings
from training.snapshot import read_originals, sample
from training.train import TrainSettings, train

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
    ) -> None:
        self._runs = Runs(store, collection)
        trusted = TrustedKeys(settings.store.trusted_keys)
        self._registry = Registry(store, collection, trusted=trusted, signer=signer)
        self._names = ClusterNames(store, collection)
        self._history = ClusterHistory(store, collection)
        self._ledger = Ledger(store, collection)
        self._images = images
        self._settings = settings
        self._training = settings.training
        self._progress = progress

    def run(self, slot: str) -> RunRecord | None:
        """Do the run of this slot; None if another has begun it.

        Raises:
            Exception: whatever went wrong, after it was recorded as `failed`.
        """
        record = self._runs.begin(slot)
        if record is None:
            log.info("this run exists already", slot=slot)
            return None
        try:
            record = self._run(record)
        except Exception as error:
            reason = str(error) if isinstance(error, ShoalError) else f"{type(error).__name__}: {error}"
            self._runs.end(record.model_copy(update={"state": "failed", "reason": reason}))
            raise
        log.info("run ended", slot=slot, state=record.state, reason=record.reason, version=record.version)
        return self._runs.end(record)

    def _run(self, record: RunRecord) -> RunRecord:
        champion = self._registry.alias("champion")
        refs = sample(self._ledger.rows(), self._training.max_images)
        if len(refs) < self._training.min_images:
            reason = f"{len(refs)} usable pictures in the ledger, it takes {self._training.min_images}"
            return record.model_copy(update={"state": "skipped", "reason": reason, "n_images": len(refs)})
        with tempfile.TemporaryDirectory(prefix="shoal-corpus-", dir=self._training.workdir) as workdir:
            self._progress.stage("read", len(refs))

            def read(preprocess: Preprocess, folder: str = "champion") -> Corpus:
                return from_encoded(
                    read_originals(self._images, refs),
                    preprocess,
                    self._settings.decode,
                    Path(workdir, folder),
                    source="the ledger",
                    total=len(refs),
                    on_progress=self._progress.advance,
                )

            corpus = read(self._training.preprocess, "candidate")
            return self._train(record, corpus, champion, self._predecessor(champion, corpus, read))

    def _train(
        self, record: RunRecord, corpus: Corpus, champion: Alias | None, predecessor: Predecessor | None
    ) -> RunRecord:
        settings = self._like(champion)
        trained = train(
            corpus,
            settings,
            self._progress,
            source="ledger",
            collection=record.collection,
            parent=champion.version if champion else None,
            predecessor=predecessor,
            taken=self._history.ids(),
        )
        comparison = compare(trained, predecessor, corpus, settings) if predecessor else None
        verdict = decide(trained.quality, comparison, self._training.promotion)
        trained = trained.with_gates(verdict.gates)
        target = self._registry.publish(trained.manifest, trained.files)
        if verdict.promote:
            self._names.inherit(trained.matched.heirs())
            generation = champion.generation if champion else 0
            self._registry.promote(
                target.version, reason=f"run {record.slot}", expected_generation=generation
            )
        else:
            self._registry.set_challenger(target, reason=verdict.reason)
        return record.model_copy(
            update={
                "state": "promoted" if verdict.promote else "challenger",
                "reason": verdict.reason,
                "version": target.version,
                "gates": verdict.gates,
                "n_images": len(corpus.pixels),
            }
        )

    def _like(self, champion: Alias | None) -> TrainSettings:
        """Keep the champion's number of clusters, unless the settings name one."""
        cluster = self._training.cluster
        if champion is None or "n_clusters" in cluster.model_fields_set:
            return self._training
        try:
            n_clusters = self._registry.manifest(champion.version)[0].n_clusters
        except BundleInvalid:  # `_judge` says so
            return self._training
        return self._training.model_copy(
            update={"cluster": cluster.model_copy(update={"n_clusters": n_clusters})}
        )

    def _predecessor(self, champion: Alias | None, corpus: Corpus, reread: Reread) -> Predecessor | None:
        """Show the champion the corpus; None if there is none to compare with."""
        if champion is None:
            return None
        self._progress.stage("compare")
        device = best_device(self._training.fit.device)
        try:
            return load_predecessor(
                self._registry, champion, corpus, self._training.preprocess, reread, device
            )
        except BundleInvalid as error:
            log.warning("the champion may not serve, and is not compared", reason=str(error))
            return None
