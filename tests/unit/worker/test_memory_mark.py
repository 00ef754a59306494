import threading

from structlog.testing import capture_logs

from worker.memory_mark import MemoryMark, resident_bytes


def test_it_ends_once_when_the_process_has_grown_past_its_mark() -> None:
    ends: list[int] = []
    ended = threading.Event()

    def end() -> None:
        ends.append(1)
        ended.set()

    mark = MemoryMark(resident_bytes() + (32 << 20), end, look_s=0.01)
    mark.start()
    assert not ended.wait(0.1)

    ballast = b"x" * (96 << 20)

    assert ended.wait(10)
    mark.close()
    assert ends == [1]
    assert ballast


def test_a_mark_below_what_a_worker_takes_at_rest_is_said_to_have_no_effect() -> None:
    ends: list[int] = []
    mark = MemoryMark(1, lambda: ends.append(1), look_s=0.01)

    with capture_logs() as said:
        mark.start()

    assert "has no effect" in said[0]["event"]
    assert not ends
    mark.close()
