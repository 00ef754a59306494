import threading

import pytest
import structlog.testing

from worker import drain as draining
from worker.drain import drain
from worker.progress import Progress


def test_a_drain_says_what_it_waits_for_until_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "SAY_EVERY_S", 0.01)
    progress, go_on = Progress(), threading.Event()
    progress.taken("m1")
    said: list[object] = []

    def stop_pool() -> None:
        assert go_on.wait(20)
        progress.finished("m1")

    with structlog.testing.capture_logs() as logs:
        releasing = threading.Timer(0.1, go_on.set)
        releasing.start()
        assert drain(stop_pool, progress, 60)
        releasing.join()
        said = [list(line["in_work_s"]) for line in logs if line["event"] == "draining"]
    assert said
    assert all(names == ["m1"] for names in said)
    assert logs[-1]["event"] == "drained"


def test_a_drain_gives_up_at_its_limit_and_says_what_is_left() -> None:
    progress, forever = Progress(), threading.Event()
    progress.taken("m1")
    with structlog.testing.capture_logs() as logs:
        assert not drain(lambda: forever.wait(60), progress, 0.05)
    forever.set()
    assert list(logs[-1]["in_work_s"]) == ["m1"]
