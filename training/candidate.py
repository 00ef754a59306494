"""A candidate to succeed the champion: trained with its predecessor in view, and judged beside it.

```
show the champion the same pictures   predecessor.py
train, carry the ids over             train.py, leaving checkpoints
judge both on the held-out pictures   comparison.py
decide                                promotion.py
```
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import structlog

from model_store.predictor import best_device
from model_store.registry import Alias, Registry
from producer.errors import BundleInvalid, ObjectNotFound
from training.checkpoint import Checkpoints
from training.comparison import compare
from training.corpus import Corpus
from training.predecessor import Predecessor, Reread, load_predecessor
from training.progress import Progress
from training.promotion import Verdict, decide
from training.settings import TrainingSettings
from training.train import Trained, train
from training.train_settings import TrainSettings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Makes candidates for one collection."""

    registry: Registry
    settings: TrainingSettings
    progress: Progress

    def make(
        self,
        corpus: Corpus,
        champion: Alias | None,
        reread: Reread,
        *,
        taken: Collection[str],
        checkpoints: Checkpoints,
        version: str | None = None,
        source: str = "ledger",
        workdir: Path | None = None,
    ) -> tuple[Trained, Verdict]:
        """Train one and judge it; the verdict stands in its manifest too.

        Args:
            corpus: decoded with `settings.preprocess`.
            champion: that it may succeed, if there is one.
            reread: decodes the corpus anew, for a champion with another preprocess.
            taken: ids of clusters that earlier models had.
            checkpoints: where the fit leaves its state, and finds that of an earlier attempt.
            version: its name; by default one that chance makes.
            source: of the corpus: folder, npy or ledger.
            workdir: for what is too large for memory; the system's if None.

        Raises:
            TrainingFailed: too few pictures, or the loss is no longer finite.
            BundleInvalid: the finished model does not answer its own probe.
        """
        settings = self._like(champion)
        predecessor, obstacle = self._predecessor(champion, corpus, reread)
        trained = train(
            corpus,
            settings,
            self.progress,
            source=source,
            collection=self.registry.collection,
            parent=champion.version if champion else None,
            predecessor=predecessor,
            taken=taken,
            version=version,
            checkpoints=checkpoints,
            workdir=workdir,
        )
        comparison = compare(trained, predecessor, corpus, settings) if predecessor else None
        if predecessor is not None and comparison is None:
            obstacle = "the champion could see none of the held-out pictures"
        reason = _not_compared(champion, obstacle) if champion and obstacle else ""
        verdict = decide(trained.quality, comparison, self.settings.promotion, reason)
        return trained.with_gates(verdict.gates, comparison.floor if comparison else {}), verdict

    def _like(self, champion: Alias | None) -> TrainSettings:
        """Keep the champion's number of clusters, unless the settings name one."""
        cluster = self.settings.cluster
        if champion is None or "n_clusters" in cluster.model_fields_set:
            return self.settings
        try:
            n_clusters = self.registry.manifest(champion.version)[0].n_clusters
        except (BundleInvalid, ObjectNotFound):  # `_predecessor` says so
            return self.settings
        return self.settings.model_copy(
            update={"cluster": cluster.model_copy(update={"n_clusters": n_clusters})}
        )

    def _predecessor(
        self, champion: Alias | None, corpus: Corpus, reread: Reread
    ) -> tuple[Predecessor | None, str]:
        """Show the champion the corpus; None if there is none, or it cannot be read, and then why."""
        if champion is None:
            return None, ""
        device = best_device(self.settings.fit.device)
        try:
            return load_predecessor(
                self.registry, champion, corpus, self.settings.preprocess, reread, device, self.progress
            ), ""
        except (BundleInvalid, ObjectNotFound) as error:
            log.warning("the champion may not serve, and is not compared", reason=str(error))
            self.progress.note("the champion cannot be compared with: all clusters are new")
            return None, str(error)


def _not_compared(champion: Alias, obstacle: str) -> str:
    return (
        f"the champion {champion.version} cannot be compared with ({obstacle}), so all cluster ids are new: "
        "mend it (`shoal models sign` if only the signature is missing) or roll back, and retrain; "
        "or promote this with --force --reason"
    )
