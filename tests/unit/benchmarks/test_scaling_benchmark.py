from typing import Any

import pytest

from benchmarks import scaling


def test_the_first_message_is_taken_from_the_longest_backlog_before_more_is_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting = {"references": 0}

    def longer_queues(*_: object) -> list[Any]:
        waiting["references"] = max(scaling.BACKLOGS)
        return []

    def full_to_empty(*_: object) -> dict[str, float]:
        waiting["references"] += scaling.TURNS * scaling.AT_ONCE * scaling.FULL
        return {}

    monkeypatch.setattr(scaling, "longer_queues", longer_queues)
    monkeypatch.setattr(scaling, "full_to_empty", full_to_empty)
    monkeypatch.setattr(scaling, "first_done", lambda _: dict(waiting))

    found = scaling.backlog(None, None)  # type: ignore[arg-type]

    assert found["references"] == 1_000_000
