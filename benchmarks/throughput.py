"""Images a second from the queue to the stored result: Shoal, its stages alone, what one would build instead.

    .venv/bin/python benchmarks/throughput.py [--data ../shared/data] [--quick] [--only NAME ...] [--json]

Rounds in turns on the embedded servers, on the same cores; medians and spread; ratios are of the same round.
`device` ones sleep instead of computing, `--device-rate` pictures a second, as if on a fast GPU. Contenders
and what is the same for all: `benchmarks/contenders/`. Prints tables; with `--json` one JSON object last.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.race.entrants import entrants
from benchmarks.race.field import DATABASES, SIZES, Field
from benchmarks.race.racer import Entry, Lap, Racer
from benchmarks.race.stages import STAGES, Stages

NAMES: Final = map("{:02x}".format, itertools.count(16))  # of races
WARM: Final = 256
BURST: Final = 256  # pictures at once, the same for all: what latencies are told of
QUICK_S: Final = 1.0  # of a race
PATIENCE_S: Final = 120.0
RATIOS: Final = {
    "celery_one_per_image": ("celery prefork", "shoal bulk"),
    "celery_batches": ("celery-batches", "shoal bulk"),
    "dramatiq": ("dramatiq", "shoal bulk"),
    "celery_one_per_image_device": ("celery prefork device", "shoal bulk device"),
    "celery_batches_device": ("celery-batches device", "shoal bulk device"),
}


@dataclass
class Record:
    """What the rounds of one size gave."""

    laps: dict[str, list[Lap]] = field(default_factory=dict)
    bursts: dict[str, list[Lap]] = field(default_factory=dict)
    stages: dict[str, list[dict[str, float]]] = field(default_factory=dict)  # by lane

    def ratio(self, ours: str, to: Callable[[int], float]) -> float | None:
        """Give the median over rounds of our rate to another figure of the same round."""
        rates = [lap.rate for lap in self.laps.get(ours, [])]
        return median([rate / to(nth) for nth, rate in enumerate(rates)])

    def ratios(self, device_rate: float) -> dict[str, float | None]:
        """Give all that can be told of those who raced."""
        bulk = self.stages["bulk"]

        def slowest(nth: int) -> float:
            return min(device_rate, *(bulk[nth][stage] for stage in STAGES if stage != "predict"))

        found = {
            "ceiling": self.ratio("shoal bulk", lambda nth: ceiling(bulk[nth])),
            "ceiling_single": self.ratio("shoal single", lambda nth: ceiling(self.stages["single"][nth])),
            "slowest_stage": self.ratio("shoal bulk device", slowest),
        }
        for name, (other, ours) in RATIOS.items():
            if other in self.laps and ours in self.laps:
                theirs = self.laps[other]
                found[name] = self.ratio(ours, lambda nth, theirs=theirs: theirs[nth].rate)
                found[f"{name}_worker_cpu"] = median(
                    [a.worker_cpu_ms / b.worker_cpu_ms for a, b in zip(self.laps[ours], theirs, strict=True)]
                )
        return found


def median(values: list[float]) -> float | None:
    return round(statistics.median(values), 3) if values else None


def ceiling(stages: dict[str, float]) -> float:
    """Tell what stages can reach together that share the same cores."""
    return 1 / sum(1 / stages[stage] for stage in STAGES)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, help="holds cifar10/train.npz and photos/; else pictures are drawn"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--device-rate", type=float, default=20_000.0, help="pictures/s of the device that sleeps"
    )
    parser.add_argument("--only", nargs="*", default=[], help="names that begin so, such as shoal")
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=SIZES)
    parser.add_argument("--no-fsync", action="store_true", help="the servers do not wait for the disk")
    parser.add_argument("--quick", action="store_true", help="one round of short races")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    racers = entrants(options.device_rate, tuple(options.only))
    records = {size: Record() for size in options.sizes}
    with Field(options.data, 512, fsync=not options.no_fsync) as where:
        stages = Stages.of(where)
        try:
            enter(racers, where)
            for size, record in records.items():
                guesses = {racer.name: warmed(racer, where, size) for racer in racers}
                for nth in range(rounds):
                    say(f"{size}, round {nth + 1} of {rounds}, load {os.getloadavg()[0]:.1f}")
                    one_round(racers, stages, where, size, record, guesses, quick=options.quick)
        finally:
            for racer in racers:
                racer.leave()
            stages.close()
    for size, record in records.items():
        show(size, record, options.device_rate)
    if options.json:
        print(json.dumps(summary(records, options.device_rate)))


def enter(racers: list[Racer], where: Field) -> None:
    for database, racer in enumerate(racers):
        say(f"starts {racer.name}")
        racer.enter(where, database % DATABASES)


def entry(where: Field, size: str, n: int) -> Entry:
    name, keys = next(NAMES), where.keys[size]
    return Entry(name, [(f"{name}-{i}", keys[i % len(keys)]) for i in range(n)])


def warmed(racer: Racer, where: Field, size: str) -> float:
    """Do some pictures that do not count; gives a first guess at the rate."""
    racer.race(entry(where, size, WARM // 4), PATIENCE_S)
    rate = racer.race(entry(where, size, WARM), PATIENCE_S).rate
    say(f"  {racer.name}: {rate:,.0f} images/s while warming up")
    return rate


def one_round(
    racers: list[Racer],
    stages: Stages,
    where: Field,
    size: str,
    record: Record,
    guesses: dict[str, float],
    *,
    quick: bool,
) -> None:
    """Measure the stages, then let all race, each over as many pictures as it does in about its `aim_s`."""
    for lane in ("bulk", "single"):
        n = 1024 if quick else 4096 if lane == "bulk" else 2048
        found = stages.rates(size, n, bulk=lane == "bulk", name=next(NAMES))
        record.stages.setdefault(lane, []).append(found)
        say(f"  stages, {lane}: " + ", ".join(f"{name} {rate:,.0f}" for name, rate in found.items()))
    for racer in racers:
        aim_s = QUICK_S if quick else racer.aim_s
        n = WARM * max(racer.least // WARM, round(guesses[racer.name] * aim_s / WARM))
        lap = racer.race(entry(where, size, n), PATIENCE_S)
        guesses[racer.name] = lap.rate
        record.laps.setdefault(racer.name, []).append(lap)
        burst = racer.race(entry(where, size, BURST), PATIENCE_S)
        record.bursts.setdefault(racer.name, []).append(burst)
        say(f"  {racer.name}: {n} at {lap.rate:,.0f} images/s, {lap.worker_cpu_ms:.2f} ms of CPU each")


def show(size: str, record: Record, device_rate: float) -> None:
    print(f"\n{size}, medians (spread)")
    for lane, found in record.stages.items():
        told = {stage: [each[stage] for each in found] for stage in STAGES}
        told["ceiling on shared cores"] = [ceiling(each) for each in found]
        for name, rates in told.items():
            print(f"  {lane + ', ' + name + (' alone' if name in STAGES else ''):32}{spread(rates):>24}")
    columns = ("burst p50", "p99, s", "batch", "CPU ms", "client ms", "lost", "double")
    print(f"  {'':24}{'images/s':>24}" + "".join(f"{name:>10}" for name in columns))
    for name, laps in record.laps.items():
        bursts = record.bursts[name]
        told_of = [
            *(f"{middle(bursts, what):.2f}" for what in ("p50_s", "p99_s")),
            *(f"{middle(laps, what):.3g}" for what in ("batch", "worker_cpu_ms", "client_cpu_ms")),
            *(str(sum(getattr(lap, what) for lap in laps + bursts)) for what in ("lost", "double")),
        ]
        print(f"  {name:24}{spread([lap.rate for lap in laps]):>24}" + "".join(f"{t:>10}" for t in told_of))
    for name, ratio in record.ratios(device_rate).items():
        print(f"  ratio to {name.replace('_', ' ')}: {ratio}")


def middle(laps: list[Lap], what: str) -> float:
    return statistics.median(getattr(lap, what) for lap in laps)


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def summary(records: dict[str, Record], device_rate: float) -> dict[str, object]:
    """Give everything as one JSON object."""
    told: dict[str, object] = {"benchmark": "throughput", "device_rate": device_rate}
    for size, record in records.items():
        suffix = "" if size == SIZES[0] else "_photos"
        told |= {f"ratio_to_{name}{suffix}": value for name, value in record.ratios(device_rate).items()}
        told[f"stages{suffix}"] = {
            lane: {stage: median([each[stage] for each in found]) for stage in STAGES}
            for lane, found in record.stages.items()
        }
        told[f"contenders{suffix}"] = {
            name: {what: median([getattr(lap, what) for lap in laps]) for what in Lap._fields}
            | {"lost": sum(lap.lost for lap in laps), "double": sum(lap.double for lap in laps)}
            for name, laps in record.laps.items()
        }
    return told


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
