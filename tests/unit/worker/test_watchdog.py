from collections.abc import Callable

import pytest

from producer.errors import BrokerUnavailable, StoreUnavailable
from worker.progress import Progress
from worker.watchdog import Limits, Sight, Watchdog, verdict

LIMITS = Limits(stall_s=40, message_s=80)  # a look every 5 s


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class World:
    """Broker, store and models as told, and a watchdog that looks every 5 s of a made-up clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.progress = Progress(self.clock)
        self.depth, self.broker_up, self.store_up, self.awaited = 0, True, True, False
        self.store_asked = 0
        self.device_busy_since: float | None = None
        self.watchdog = Watchdog(self.progress, self, LIMITS, lambda: self.device_busy_since)

    def waiting(self) -> int:
        if not self.broker_up:
            raise BrokerUnavailable("away")
        return self.depth

    def store_answers(self) -> None:
        self.store_asked += 1
        if not self.store_up:
            raise StoreUnavailable("away")

    def model_awaited(self) -> bool:
        return self.awaited

    def after(self, seconds: float, meanwhile: Callable[[], object] = str) -> str | None:
        """Let time pass, looking every 5 s; gives the first thing that hangs."""
        for _ in range(int(seconds / 5)):
            self.clock.now += 5
            meanwhile()
            if hanging := self.watchdog.look():
                return hanging
        return None


@pytest.fixture
def world() -> World:
    return World()


def test_messages_that_wait_while_none_is_taken_are_a_stall(world: World) -> None:
    world.depth = 1
    assert world.after(40) is None
    assert "messages wait and none was taken for 45 s" in str(world.after(10))


def test_an_empty_queue_is_no_stall_and_the_first_message_has_all_its_time(world: World) -> None:
    assert world.after(1000) is None
    world.depth = 1
    assert world.after(40) is None
    assert world.after(10) is not None


def test_whoever_takes_and_finishes_does_not_stall(world: World) -> None:
    world.depth = 9

    def work() -> None:
        with world.progress.working("a"):
            pass

    assert world.after(1000, work) is None


def test_a_message_in_work_is_no_stall_but_has_a_limit_of_its_own(world: World) -> None:
    world.depth = 9
    world.progress.taken("slow")
    assert world.after(80) is None
    assert "message slow is in work for 85 s" in str(world.after(10))


def test_a_message_in_work_hangs_with_an_empty_queue_too(world: World) -> None:
    world.progress.taken("slow")
    assert world.after(90) is not None


def test_a_device_that_does_not_come_back_hangs_though_messages_come_and_go(world: World) -> None:
    world.device_busy_since = world.clock()

    def work() -> None:
        with world.progress.working("a"):
            pass

    assert "a pass of the device" in str(world.after(90, work))


@pytest.mark.parametrize(
    ("excuse", "in_work"),
    [("broker", False), ("broker", True), ("store", False), ("store", True), ("model", False)],
)
def test_nothing_hangs_while_nothing_can_be_done(world: World, excuse: str, in_work: bool) -> None:  # noqa: FBT001
    world.depth = 5
    if in_work:
        world.progress.taken("a")
    world.broker_up, world.store_up = excuse != "broker", excuse != "store"
    world.awaited = excuse == "model"
    assert world.after(1000) is None
    world.broker_up = world.store_up = True
    world.awaited = False
    assert world.after(40) is None  # it had a full limit again, or most of it
    assert world.after(200) is not None


def test_a_message_that_hangs_before_any_model_is_loaded_hangs(world: World) -> None:
    world.awaited = True
    world.progress.taken("loading")
    assert world.after(90) is not None


def test_a_process_that_was_stopped_has_all_its_time_again(world: World) -> None:
    world.depth = 1
    world.progress.taken("a")
    world.clock.now += 3600
    assert world.after(75) is None


def test_the_store_is_left_alone_while_all_is_well(world: World) -> None:
    world.depth = 1

    def work() -> None:
        with world.progress.working("a"):
            pass

    assert world.after(1000, work) is None
    assert world.store_asked == 0


def test_a_verdict_names_the_oldest_first() -> None:
    sight = Sight(
        now=200, last_progress_at=199, in_work={"x": 90, "y": 100}, could_take_since=0, could_work_since=0
    )
    assert str(verdict(sight, LIMITS)).startswith("x is in work for 110 s")


def test_the_thread_ends_the_process_by_what_it_is_given() -> None:
    progress = Progress()
    world = World()
    ended: list[str] = []
    watchdog = Watchdog(progress, world, Limits(60, 0.2), lambda: None, ended.append)
    with progress.working("stuck"):
        watchdog.start()
        progress_made = _wait(lambda: bool(ended))
    watchdog.close()
    assert progress_made
    assert "stuck" in ended[0]


def _wait(condition: Callable[[], bool]) -> bool:
    import time  # noqa: PLC0415

    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()
