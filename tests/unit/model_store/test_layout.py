from datetime import UTC, datetime

import pytest

from model_store.layout import Layout
from producer.errors import InvalidReference
from producer.ulid import new_ulid

EVENING = datetime(2026, 11, 23, 22, 59, 59, tzinfo=UTC)
LAYOUT = Layout("default")


@pytest.mark.parametrize(
    ("key", "drawn"),
    [
        (LAYOUT.result("img_1"), "default/results/im/img_1.json"),
        (LAYOUT.result("7"), "default/results/7/7.json"),
        (LAYOUT.dead_letter("task-7"), "default/dead/dt=none/task-7.json"),
        (LAYOUT.dead_raw("task-7"), "default/dead/dt=none/task-7.raw"),
        (LAYOUT.model("v1", "pca.safetensors"), "default/models/v1/pca.safetensors"),
        (LAYOUT.alias("champion"), "default/aliases/champion.json"),
        (LAYOUT.run("20261123T030000Z"), "default/runs/20261123T030000Z.json"),
        (LAYOUT.sweep("0a"), "default/sweeps/0a.json"),
    ],
)
def test_every_key_is_as_drawn(key: str, drawn: str) -> None:
    assert key == drawn


def test_a_ledger_part_lies_under_the_hour_of_its_message() -> None:
    message_id = new_ulid(EVENING.timestamp())

    assert LAYOUT.ledger_part(message_id) == f"default/ledger/dt=2026-11-23/hh=22/{message_id}.parquet"


def test_a_dead_letter_lies_under_the_day_of_its_message() -> None:
    message_id = new_ulid(EVENING.timestamp())

    assert LAYOUT.dead_letter(message_id) == f"default/dead/dt=2026-11-23/{message_id}.json"


@pytest.mark.parametrize("bad", ["", "a/b", "../a", "a b", ".a", "x" * 129, "a\n"])
def test_a_dead_letter_cannot_be_named_out_of_its_folder(bad: str) -> None:
    with pytest.raises(InvalidReference):
        LAYOUT.dead_letter(bad)


def test_ledger_parts_sort_by_the_time_of_their_messages() -> None:
    hour_s = 3600.0
    parts = [LAYOUT.ledger_part(new_ulid(EVENING.timestamp() + n * hour_s)) for n in range(30)]

    assert parts == sorted(parts)
    assert all(part.startswith(LAYOUT.ledger()) for part in parts)


def test_collections_share_no_prefix() -> None:
    assert not Layout("cats2").result("img").startswith(Layout("cats").ledger().removesuffix("ledger/"))


def test_every_version_lies_under_the_prefix_of_models() -> None:
    assert LAYOUT.model("v1", "manifest.json").startswith(LAYOUT.models())
