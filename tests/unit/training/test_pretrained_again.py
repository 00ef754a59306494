"""A model of the recipe `pretrained` that succeeds another."""

from typing import Any

import pytest

from model_store.bundle_files import ENCODER
from tests.unit.training.drawn_kinds import pictures, seen_by, settings, trained
from tests.unit.training.one_trunk import random_trunk
from training.comparison import compare
from training.promotion import PromotionPolicy, decide

pytestmark = pytest.mark.usefixtures("one_thread")

FOUR = pictures((0, 1, 2, 3), n_each=25)
FIT: dict[str, Any] = {"recipe": "pretrained", "architecture": {"input_size": 32, "widths": (4, 6)}}


def test_a_successor_has_the_champions_encoder_keeps_its_ids_and_passes_its_gates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random_trunk(monkeypatch)
    champion = trained(FOUR, settings(**FIT))
    random_trunk(monkeypatch, seed=1)  # as if others had been installed meanwhile
    chosen = settings(seed=7, **FIT)

    again = trained(FOUR, chosen, champion)

    assert again.files[ENCODER] == champion.files[ENCODER]
    assert again.moved == 0
    comparison = compare(again, seen_by(champion, FOUR), FOUR.corpus(), chosen)
    policy = PromotionPolicy(max_latency=20)  # it is the same network: only the machine's mood is measured
    assert decide(again.quality, comparison, policy).reason == "passed every gate"
