"""Whether clusters keep their ids over retraining, on labelled photographs.

    .venv/bin/python -m benchmarks.identity ../shared/data/photos [--steps 300] [--widths 24 48 96]

The folder holds one folder per kind. Labels are for telling what a cluster is of, never for training.
"""

import argparse
import json
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.gates import shown_to
from model_store.cluster_names import ClusterNames
from model_store.decode import DecodeLimits
from model_store.object_store import MemoryStore
from model_store.preprocess import Preprocess
from training.comparison import compare
from training.corpus import Corpus
from training.dataset import from_folder
from training.evaluate import agreement
from training.progress import Silent
from training.promotion import PromotionPolicy, decide
from training.recipes import distilled
from training.teachers import LITE0_TEACHER, Teacher, load_teacher
from training.train import Trained, train
from training.train_settings import TrainSettings


@dataclass(frozen=True)
class Bench:
    """What all trainings have in common."""

    steps: int
    widths: tuple[int, ...]

    def train(
        self,
        corpus: Corpus,
        recipe: str,
        seed: int,
        n_clusters: int,
        champion: Trained | None = None,
        *,
        scratch: bool = False,
    ) -> Trained:
        """Train, and hold against the champion if there is one."""
        fit = {
            "recipe": recipe,
            "architecture": {"widths": self.widths},
            "min_steps": self.steps,
            "max_steps": self.steps,
            "random_state": seed,
            "device": "cpu",
            "from_champion": not scratch,
        }
        chosen = TrainSettings.model_validate({"fit": fit, "cluster": {"n_clusters": n_clusters}})
        predecessor = shown_to(champion, corpus) if champion else None
        trained = train(corpus, chosen, Silent(), source="bench", predecessor=predecessor)
        if predecessor is None:
            return trained
        verdict = decide(trained.quality, compare(trained, predecessor, corpus, chosen), PromotionPolicy())
        return trained.with_gates(verdict.gates)


class Remembering:
    """The teacher, asked once for each picture: all trainings here are of the same ones."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self._known: dict[bytes, NDArray[np.float32]] = {}

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Give features (M, T)."""
        keys = [picture.tobytes() for picture in pixels]
        missing = [row for row, key in enumerate(keys) if key not in self._known]
        if missing:
            found = self._teacher.features(pixels[missing])
            self._known.update({keys[row]: feature for row, feature in zip(missing, found, strict=True)})
        return np.stack([self._known[key] for key in keys])


def without(corpus: Corpus, kind: str) -> Corpus:
    rows = [row for row, name in enumerate(corpus.names) if not name.startswith(f"{kind}/")]
    return replace(corpus, pixels=corpus.pixels[rows], names=tuple(corpus.names[row] for row in rows))


def report(case: str, before: Trained, after: Trained, corpus: Corpus) -> dict[str, object]:
    """Print a line, and give its figures; names are given to the champion's clusters and must follow."""
    kinds = np.array([name.split("/")[0] for name in corpus.names])
    found = Counter(event.kind for event in after.matched.events)
    failed = [gate.name for gate in after.manifest.gates if not gate.passed]
    figures: dict[str, object] = {
        "case": case,
        "kept": round(1 - after.moved, 3),
        "lineage": dict(found),
        "accuracy": round(agreement(kinds, after.assignment.indices).accuracy, 3),
        "names_follow": names_follow(before, after),
        "refused_by": failed,
    }
    print(
        f"| {case} | {1 - after.moved:.1%} | {', '.join(f'{n} {kind}' for kind, n in sorted(found.items()))} "
        f"| {figures['accuracy']} | {'yes' if figures['names_follow'] else 'NO'} "
        f"| {', '.join(failed) or 'promoted'} |",
        flush=True,
    )
    return figures


def names_follow(before: Trained, after: Trained) -> bool:
    """Tell whether every cluster that goes on is shown with the name that it had, and no new one with any."""
    names = ClusterNames(MemoryStore(), "default")
    for identity in before.matched.identities:
        names.name(identity.id, f"name of {identity.id}")
    shown = names.inherit(after.matched.heirs())
    expected = {
        one.id: f"name of {one.parents[0]}" if one.lineage in {"survived", "merged"} else None
        for one in after.matched.identities
    }
    return all(shown.display(cluster_id).name == name for cluster_id, name in expected.items())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--widths", type=int, nargs="+", default=(24, 48, 96))
    asked = parser.parse_args()
    bench = Bench(asked.steps, tuple(asked.widths))
    torch.set_num_threads(1)
    teacher = Remembering(load_teacher(LITE0_TEACHER, torch.device("cpu")))
    distilled.load_teacher = lambda *_: teacher  # type: ignore[attr-defined, assignment]
    with tempfile.TemporaryDirectory() as workdir:
        all_kinds = from_folder(asked.photos, Preprocess(), DecodeLimits(), Path(workdir))
        kinds = sorted({name.split("/")[0] for name in all_kinds.names})
        k = len(kinds)
        fewer_kinds = without(all_kinds, kinds[-1])
        print(
            "| case | keep their id | clusters | accuracy | names follow | gates |\n|---|---|---|---|---|---|"
        )
        champion = bench.train(all_kinds, "distilled", 0, k)
        told = []
        for case, corpus, seed, n_clusters, scratch in (
            ("same data, other seed", all_kinds, 1, k, False),
            (f"a kind removed ({kinds[-1]})", fewer_kinds, 2, k - 1, False),
            ("two kinds merged by smaller K", all_kinds, 3, k - 1, False),
            ("same data, other seed, not from the champion's weights", all_kinds, 1, k, True),
        ):
            after = bench.train(corpus, "distilled", seed, n_clusters, champion, scratch=scratch)
            told.append(report(case, champion, after, corpus))
        small = bench.train(fewer_kinds, "distilled", 0, k - 1)
        grown = bench.train(all_kinds, "distilled", 4, k, small)
        told.append(report(f"a kind added ({kinds[-1]})", small, grown, all_kinds))
        pure = bench.train(all_kinds, "pure", 0, k)
        exchanged = bench.train(all_kinds, "distilled", 5, k, pure)
        told.append(report("encoder exchanged, pure to distilled", pure, exchanged, all_kinds))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
