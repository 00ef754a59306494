"""Does many small things on a pool of threads, and gives what comes of each in the order of arrival.

A thread does a few of them before it comes back to the pool, and tells of each through one queue. A future
per thing, and waiting for all of these, took more CPU than reading a small object does.
"""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future
from itertools import islice
from operator import length_hint
from queue import Empty, SimpleQueue
from threading import Event
from typing import Final, Generic, TypeVar

from model_store.right_of_way import RightOfWay

AT_ONCE: Final = 4  # things done by a thread before others get their turn
T = TypeVar("T")
R = TypeVar("R")


def in_parallel(
    pool: Executor,
    width: int,
    work: Callable[[T], R],
    items: Iterable[T],
    way: RightOfWay,
    unwanted: Callable[[R], object] = lambda _: None,
) -> Generator[tuple[int, R]]:
    """Yield (position, what came of it). At most `width` threads are at it; where there are enough, one each.

    Args:
        pool: shared with others, who get their turn.
        width: most threads for this call.
        work: what it raises is raised here, and ends all.
        items: taken as there is room for them.
        way: each thing is done when it may pass there; after the generator was closed none is begun.
        unwanted: gets what comes after the generator was closed.
    """
    few = max(1, min(AT_ONCE, -(-length_hint(items, 0) // width)))
    waiting = enumerate(items)
    arrivals = _Arrivals(work, way, unwanted)
    under_way = 0
    try:
        while True:
            while under_way < width and (mine := list(islice(waiting, few))):
                pool.submit(arrivals.do, mine).add_done_callback(arrivals.came.put)
                under_way += 1
            if not under_way:
                return
            arrived = arrivals.came.get()
            if isinstance(arrived, Future):
                under_way -= 1
                arrived.result()
            else:
                yield arrived
            del arrived  # nor here is what was passed on kept
    finally:
        arrivals.close()


class _Arrivals(Generic[T, R]):
    """What came, for one reader: a result, or the future of a thread's share that is done."""

    def __init__(self, work: Callable[[T], R], way: RightOfWay, unwanted: Callable[[R], object]) -> None:
        self.came: SimpleQueue[tuple[int, R] | Future[None]] = SimpleQueue()
        self._work = work
        self._way = way
        self._unwanted = unwanted
        self._closed = Event()

    def do(self, mine: list[tuple[int, T]]) -> None:
        for position, item in mine:
            with self._way.passing(self._closed.is_set) as wanted:
                if not wanted:
                    return
                self.came.put((position, self._work(item)))
            if self._closed.is_set():  # after: the reader may have looked before this came
                self._let_go()

    def close(self) -> None:
        self._closed.set()
        self._way.look_again()
        self._let_go()

    def _let_go(self) -> None:
        while True:
            try:
                late = self.came.get_nowait()
            except Empty:
                return
            if not isinstance(late, Future):
                self._unwanted(late[1])
