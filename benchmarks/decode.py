"""Decoding in this process against decoding in processes that may die: pictures/s and CPU per picture.

Interleaved repeats, medians and spread; prints a table, then one JSON line. `transport` sends the same bytes,
spoilt so that they are refused at once: what is left is the way there and back.

    .venv/bin/python benchmarks/decode.py [--photos DIR] [--processes N] [--repeats 9]
"""

import argparse
import io
import json
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from model_store.decode import DecodeLimits, Preprocess, decode
from worker import decoders
from worker.decoders import Decoders, enough_memory

DATA = Path(__file__).parents[2] / "shared" / "data"
N = 512
LIMITS, PREPROCESS = DecodeLimits(), Preprocess()
Way = Callable[[list[bytes]], object]


def encoded(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def file_sets(photos: Path) -> dict[str, list[bytes]]:
    """Small PNGs of noise, 3 KB each, and photographs of some 15 KB; drawn ones where there are none."""
    rng = np.random.default_rng(0)
    small = [encoded(rng.integers(0, 256, (32, 32, 3), np.uint8), "PNG") for _ in range(N)]
    found = [path.read_bytes() for path in sorted(photos.rglob("*.jpg"))[:N]]
    if not found:
        blurred = [rng.integers(0, 256, (30, 30, 3), np.uint8).repeat(10, 0).repeat(10, 1) for _ in range(64)]
        found = [encoded(pixels, "JPEG") for pixels in blurred] * (N // 64)
    return {"PNG of 32 px": small, "photographs": found}


def cpu_s() -> float:
    me = psutil.Process()
    return sum(sum(p.cpu_times()[:2]) for p in (me, *me.children()))


def through(pool: Decoders, batch: int, files: list[bytes]) -> None:
    vars(decoders)["MAX_BATCH"] = batch
    answers = [pool.submit(data, PREPROCESS) for data in files]
    for answer in answers:
        answer.result()


def in_threads(n: int, files: list[bytes]) -> None:
    with ThreadPoolExecutor(n) as pool:
        list(pool.map(lambda data: decode(data, PREPROCESS, LIMITS), files))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=DATA / "photos")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    n, best = options.processes, decoders.MAX_BATCH
    pool = Decoders(LIMITS, n, cpu_s=60.0, memory_bytes=enough_memory(LIMITS, 20 << 20))
    ways: dict[str, Way] = {
        "1 thread": lambda files: in_threads(1, files),
        f"{n} threads": lambda files: in_threads(n, files),
        f"{n} processes, 1 by 1": lambda files: through(pool, 1, files),
        f"{n} processes": lambda files: through(pool, best, files),
        "transport": lambda files: through(pool, best, [b"?" + data for data in files]),
    }
    answer: dict[str, dict[str, dict[str, float]]] = {}
    for name, files in file_sets(options.photos).items():
        rates: dict[str, list[float]] = {way: [] for way in ways}
        costs: dict[str, list[float]] = {way: [] for way in ways}
        for repeat in range(options.repeats + 1):
            for way, work in ways.items():
                cpu, started = cpu_s(), time.perf_counter()
                work(files)
                took, used = time.perf_counter() - started, cpu_s() - cpu
                if repeat:  # the first one warms up
                    rates[way].append(len(files) / took)
                    costs[way].append(used / len(files) * 1e6)
        size = round(sum(map(len, files)) / len(files))
        print(f"{len(files)} {name}, {size:,} bytes on average")
        print(f"{'':>24} {'pictures/s':>12} {'spread':>18} {'CPU us each':>12} {'to 1 thread':>12}")
        answer[name] = {}
        for way in ways:
            rate, cost = statistics.median(rates[way]), statistics.median(costs[way])
            gain = statistics.median(a / b for a, b in zip(rates[way], rates["1 thread"], strict=True))
            spread = f"{min(rates[way]):,.0f} to {max(rates[way]):,.0f}"
            print(f"{way:>24} {rate:>12,.0f} {spread:>18} {cost:>12,.0f} {gain:>12.2f}")
            answer[name][way] = {"per_s": round(rate), "cpu_us": round(cost), "ratio": round(gain, 2)}
    pool.close()
    print(json.dumps({"benchmark": "decode", "processes": n, "sets": answer}))


if __name__ == "__main__":
    main()
