"""Fuzz the decoder: `python -m tests.fuzz --mutations 10000`, or `make fuzz`.

The corpus goes through as it is, then that many mutations of it, in a process with a limit on memory and
on CPU time per file. Ends with 1 if anything crashed, hung, raised or took too much memory.
"""

import argparse
import sys
from pathlib import Path

from model_store.containers import sniff
from tests.fuzz.campaign import Campaign, Finding
from tests.fuzz.corpus import HOSTILE, bombs, drawn, hostile
from tests.fuzz.mutation import Case, mutant
from tests.fuzz.report import put_into, tables
from tests.unit.model_store.picture_files import EVERY_FORMAT
from worker.decode_wire import DecoderOptions
from worker.decoders import enough_memory

MAX_IMAGE_BYTES = 20 << 20
MAX_PEAK_BYTES = 640 << 20  # for one file, over the process's own


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument(
        "--seed", type=int, help="of the first mutation; given, the corpus itself is left out"
    )
    parser.add_argument("--cpu-s", type=float, default=10.0, help="limit for one file")
    parser.add_argument("--hostile", type=Path, default=HOSTILE, help="folder of the hostile set")
    parser.add_argument("--keep", type=Path, help="folder for files that must be looked at")
    parser.add_argument("--report", type=Path, help="document whose figures are replaced")
    told = parser.parse_args()
    memory = enough_memory(EVERY_FORMAT, MAX_IMAGE_BYTES)
    options = DecoderOptions(limits=EVERY_FORMAT, cpu_s=told.cpu_s, memory_bytes=memory)
    collected = hostile(told.hostile)
    small = {**drawn(), **collected}
    print(f"{len(collected)} hostile files, {len(small) - len(collected)} drawn", flush=True)

    def show(finding: Finding) -> None:
        print(finding, flush=True)
        if told.keep is not None:
            told.keep.mkdir(parents=True, exist_ok=True)
            (told.keep / f"seed-{finding.case.seed}-{finding.case.name}".replace("/", "_")).write_bytes(
                finding.case.data
            )

    as_it_is, mutated = (Campaign(options, MAX_PEAK_BYTES) for _ in range(2))
    if told.seed is None:
        as_it_is.run((Case(name, data) for name, data in {**small, **bombs()}.items()), show)
    start = told.seed or 0
    opened = {
        name: data for name, data in small.items() if sniff(data) is not None
    }  # the rest goes no further
    mutated.run((mutant(opened, seed) for seed in range(start, start + told.mutations)), show)
    text = tables(as_it_is, mutated)
    print(text)
    if told.report is not None:
        put_into(told.report, text)
    return 1 if as_it_is.findings or mutated.findings else 0


if __name__ == "__main__":
    sys.exit(main())
