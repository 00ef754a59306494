"""A stream of picture files to a stream of pictures, decoded on several cores, in order."""

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from model_store.decode import DecodeLimits, Picture, Undecodable, decode
from model_store.preprocess import Preprocess
from producer.contracts import ErrorCode

READ_AHEAD_PER_THREAD = 4

Encoded = tuple[str, bytes | ErrorCode]
Decoded = tuple[str, bytes, Picture | Undecodable]


def decode_in_threads(
    items: Iterable[Encoded], preprocess: Preprocess, limits: DecodeLimits, n_threads: int | None
) -> Iterator[Decoded]:
    """Decode in the order of the items, and read no further ahead than the threads need.

    Args:
        items: name, and either the file's bytes or the code of why there are none.
        preprocess: how pictures become pixels.
        limits: what is decoded at all.
        n_threads: one per core if None.

    Yields:
        The name, the sha256 of the bytes, and the picture or why there is none.
    """
    n_threads = n_threads or os.cpu_count() or 1
    remaining = iter(items)

    def work(item: Encoded) -> Decoded:
        name, data = item
        if isinstance(data, str):
            return name, b"", Undecodable(data, "not read")
        return name, hashlib.sha256(data).digest(), decode(data, preprocess, limits)

    with ThreadPoolExecutor(n_threads, thread_name_prefix="decode") as pool:
        waiting: deque[Future[Decoded]] = deque()
        for item in islice(remaining, n_threads * READ_AHEAD_PER_THREAD):
            waiting.append(pool.submit(work, item))
        while waiting:
            yield waiting.popleft().result()
            for item in islice(remaining, 1):
                waiting.append(pool.submit(work, item))
