"""Which candidates the gates let pass: 20 tries of each kind of worse one, and of better ones.

    .venv/bin/python -m benchmarks.gates [--tries 20] [--photos ../shared/data/photos]

Every try is a champion and a candidate of their own seeds, tiny encoders on drawn pictures of four kinds, or
on the photographs of a folder. What is spoilt is what a candidate learns from, or a step of its training; it
is judged on the same clean held-out pictures as its champion.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from model_store.bundle import load_decoder
from model_store.bundle_files import DECODER, REFERENCE
from model_store.decode import DecodeLimits
from model_store.preprocess import Preprocess
from tests.unit.training import spoilt_models as ways
from tests.unit.training.drawn_kinds import pictures, settings
from training.comparison import compare
from training.corpus import Corpus
from training.dataset import from_folder
from training.predecessor import Predecessor, view
from training.progress import Silent
from training.promotion import PromotionPolicy, Verdict, decide
from training.train import Trained, train
from training.train_settings import TrainSettings


@dataclass(frozen=True)
class Case:
    """A kind of candidate: what it learns from, and which step of its training goes wrong."""

    name: str
    better: bool = False
    spoil: ways.Spoil | None = None
    step: str = ""
    change: Callable[..., object] | None = None


CASES = (
    Case("better: trained 3 times as long", better=True),
    Case("trained on noise", spoil=ways.noise),
    Case("wrong preprocess: inverted", spoil=ways.inverted),
    Case("wrong preprocess: cropped, BGR", spoil=ways.cropped_and_bgr),
    Case("one picture as 80 %", spoil=ways.one_picture),
    Case("embedding collapsed to a point", step="fit_autoencoder", change=ways.to_a_point),
    Case("two clusters on one spot", step="fit_any", change=ways.two_on_one_spot),
    Case("5 far outliers take a centroid", step="fit_any", change=ways.one_for_outliers),
)


def shown_to(champion: Trained, corpus: Corpus) -> Predecessor:
    bundle = champion.load()
    decoder = load_decoder(bundle.manifest, champion.files[DECODER])
    return view(bundle, decoder, champion.files[REFERENCE], corpus.names, corpus)


def attempt(case: Case, clean: Corpus, champion: Trained, chosen: TrainSettings, seed: int) -> Verdict:
    rng = np.random.default_rng(seed)
    corpus = clean if case.spoil is None else ways.learned_from(clean, chosen.held_out, case.spoil, rng)
    predecessor = shown_to(champion, corpus)
    with ways.spoilt(case.step, case.change):
        candidate = train(corpus, chosen, Silent(), source="bench", predecessor=predecessor)
    return decide(candidate.quality, compare(candidate, predecessor, corpus, chosen), PromotionPolicy())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--photos", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as workdir:
        clean, make, steps = drawn() if asked.photos is None else photographs(asked.photos, Path(workdir))
        promoted, refused_by = Counter[str](), {case.name: Counter[str]() for case in CASES}
        for seed in range(asked.first_seed, asked.first_seed + asked.tries):
            champion = train(clean, make(seed, steps), Silent(), source="bench")
            for case in CASES:
                verdict = attempt(case, clean, champion, make(1000 + seed, 3 * steps), seed)
                promoted[case.name] += verdict.promote
                refused_by[case.name].update(gate.name for gate in verdict.gates if not gate.passed)
    print(f"| candidate | promoted of {asked.tries} | refused by |\n|---|---|---|")
    for case in CASES:
        gates = ", ".join(f"{gate} {n}" for gate, n in refused_by[case.name].most_common())
        print(f"| {case.name} | {promoted[case.name]} | {gates} |")
    figures = {case.name: promoted[case.name] for case in CASES}
    print(
        json.dumps({"tries": asked.tries, "promoted": figures, "seconds": round(time.monotonic() - started)})
    )


def drawn() -> tuple[Corpus, Callable[[int, int], TrainSettings], int]:
    return pictures((0, 1, 2, 3), n_each=100).corpus(), lambda seed, steps: settings(seed, steps=steps), 40


def photographs(path: Path, workdir: Path) -> tuple[Corpus, Callable[[int, int], TrainSettings], int]:
    architecture = {"widths": (8, 16, 32), "embedding_dim": 32}

    def make(seed: int, steps: int) -> TrainSettings:
        return settings(
            seed, n_clusters=10, steps=steps, recipe="pure", architecture=architecture, batch_size=128
        )

    return from_folder(path, Preprocess(), DecodeLimits(), workdir), make, 60


if __name__ == "__main__":
    main()
