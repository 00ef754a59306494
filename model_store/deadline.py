"""A limit on the whole of a request, where a client limits each read only: a byte now and then evades it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from producer.errors import StoreUnavailable

T = TypeVar("T")


def within(timeout_s: float, what: str, request: Callable[[], T]) -> T:
    """Do a blocking request in a thread of its own, and wait for it so long at most.

    A late one is abandoned: its thread ends when the connection does, and holds up no exit of the process.

    Raises:
        StoreUnavailable: it took longer. It may have been done nevertheless.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(request())
        except BaseException as error:  # noqa: BLE001 - the caller hears of it
            answer.set_exception(error)

    threading.Thread(target=run, name="s3-request", daemon=True).start()
    try:
        return answer.result(timeout_s)
    except TimeoutError as error:
        if answer.done():  # just so, or it was the request that raised this
            return answer.result()
        raise StoreUnavailable(f"the store took over {timeout_s:g} s for {what}") from error
