"""How good clusters are, by method and set: one table, one JSON line.

    python -m benchmarks.quality [--sets ...] [--methods ...] [--seeds 3] [--side S] [--cells FILE] [--json]
    python -m benchmarks.quality --npy trainX.npy valX.npy valY.npy     the notebook's own data

Sets and what is scored of them: `quality_sets.py`; methods: `quality_methods.py`; what a cell measures:
`quality_cells.py`. All of it takes hours on two cores: with `--cells FILE` each cell (set, method, seed) is
kept as it is done, and the same command again goes on with those that are not. `--table` trains nothing and
shows what the file has. Cells that leave a kind out (`--absent`: of which sets) come last. CPU time of
training `distilled` leaves out the teacher where an earlier cell had asked it for the same pictures.
"""

import argparse
import itertools
import json
import platform
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from benchmarks.quality_cells import Cell, CellsFile, Figures, measure
from benchmarks.quality_methods import METHODS, Methods
from benchmarks.quality_sets import SETS, LabelledSet, read_sets
from producer.errors import ConfigurationError
from training.fit_settings import FitSettings

DATA = Path("../shared/data")
COSTS = ("parameters", "multiply_adds", "images_per_s", "images_per_cpu_s")


def planned(sets: Iterable[LabelledSet], asked: argparse.Namespace) -> list[Cell]:
    """List the cells, a whole table of one seed before the next seed."""
    sets, further = list(sets), {"steps": asked.steps, "limit": asked.limit, "side": asked.side}
    pairs = itertools.product(range(asked.seeds), sets, asked.methods)
    cells = [Cell(one.name, method, seed, **further) for seed, one, method in pairs]
    clusterable = [method for method in asked.methods if method != "notebook"]
    cells += [
        Cell(one.name, method, seed, kind, **further)
        for seed in range(asked.seeds)
        for one in sets
        if one.name in asked.absent
        for kind in one.kinds
        for method in clusterable
    ]
    return cells


def run(cells: Sequence[Cell], sets: dict[str, LabelledSet], file: CellsFile, methods: Methods) -> None:
    """Measure the cells that are not done; what is left is told on stderr."""
    left = [cell for cell in cells if cell not in file.done]
    for nth, cell in enumerate(left):
        print(
            f"{len(cells) - len(left) + nth} of {len(cells)} done, {time_left(left[nth:], file)}: "
            f"{cell.set} {cell.method} seed {cell.seed}{f' without {cell.absent}' if cell.absent else ''}",
            file=sys.stderr,
            flush=True,
        )
        try:
            file.add(cell, measure(cell, sets[cell.set], methods))
        except ConfigurationError as error:
            print(f"passed over: {error}", file=sys.stderr)


def time_left(left: Sequence[Cell], file: CellsFile) -> str:
    """Say how long it takes, by cells like those left that were done before."""
    known = defaultdict[tuple[str, str], list[float]](list)
    for cell, figures in file.done.items():
        known[cell.set, cell.method].append(figures["seconds"])
    if not known:
        return "time left not known yet"
    usual = statistics.mean(itertools.chain(*known.values()))
    seconds = sum(statistics.median(known.get((cell.set, cell.method), [usual])) for cell in left)
    return f"about {seconds / 60:.0f} min left"


def summary(cells: Sequence[Cell], file: CellsFile) -> list[Figures]:
    """Bring the seeds of each set and method together: median, least and most of each figure."""
    rows = []
    for (name, method), group in grouped(cells, file).items():
        whole = [figures for cell, figures in group if cell.absent is None]
        absent = [figures for cell, figures in group if cell.absent is not None]
        if not whole:
            continue
        row: Figures = {"set": name, "method": method, "seeds": len(whole)}
        for figure in ("accuracy", "nmi", "ari", "false_alarms", "train_cpu_s", *COSTS):
            row[figure] = spread([figures[figure] for figures in whole if figure in figures])
        row["lost_by_placing"] = spread(
            [one["refit_new"] - one["placed_new"] for one in whole if "placed_new" in one]
        )
        if absent:
            row["absent_flagged"] = statistics.mean(figures["flagged"] for figures in absent)
            row["absent_false_alarms"] = statistics.mean(figures["false_alarms"] for figures in absent)
            row["absent_cells"] = len(absent)
        rows.append(row)
    return rows


def grouped(cells: Sequence[Cell], file: CellsFile) -> dict[tuple[str, str], list[tuple[Cell, Figures]]]:
    """Give the cells that are done, by set and method, in the order of both."""
    groups = defaultdict[tuple[str, str], list[tuple[Cell, Figures]]](list)
    for cell in cells:
        if cell in file.done:
            groups[cell.set, cell.method].append((cell, file.done[cell]))
    return dict(groups)


def spread(values: Sequence[float]) -> list[float] | None:
    """Give median, least and most; None of nothing."""
    return [round(of(values), 4) for of in (statistics.median, min, max)] if values else None


def shown(values: list[float] | None, scale: float = 1, digits: int = 3) -> str:
    """Write a median, and the range if there is one."""
    if values is None:
        return ""
    median, least, most = (f"{value * scale:,.{digits}f}" for value in values)
    return median if least == most else f"{median} ({least} to {most})"


def print_tables(rows: Sequence[Figures]) -> None:
    """Print quality by set and method, then the cost of each method."""
    print(
        "| set | method | seeds | accuracy | NMI | ARI | lost by placing, points | false alarms, % "
        "| absent kind flagged, % | training, CPU s |\n" + "|---" * 10 + "|"
    )
    for row in rows:
        flagged = (
            f"{row['absent_flagged']:.1%} at {row['absent_false_alarms']:.1%} ({row['absent_cells']} cells)"
            if "absent_flagged" in row
            else ""
        )
        print(
            f"| {row['set']} | {row['method']} | {row['seeds']} | {shown(row['accuracy'])} "
            f"| {shown(row['nmi'])} | {shown(row['ari'])} | {shown(row['lost_by_placing'], 100, 1)} "
            f"| {shown(row['false_alarms'], 100, 1)} | {flagged} | {shown(row['train_cpu_s'], 1, 0)} |"
        )
    print("\n| method | parameters | multiply-adds | images/s | images per CPU s |\n" + "|---" * 5 + "|")
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        figures = [spread([row[cost][0] for row in own if row[cost]]) for cost in COSTS]
        print(f"| {method} | {' | '.join(shown(values, 1, 0) for values in figures)} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the sets")
    parser.add_argument(
        "--sets", nargs="+", choices=[*SETS, "npy"], help="default: all; with --npy only that"
    )
    parser.add_argument("--npy", type=Path, nargs=3, metavar=("TRAIN_X", "VAL_X", "VAL_Y"))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="of every training; default: as the settings have it")
    parser.add_argument("--limit", type=int, help="pictures to train on and to score, to try things out")
    parser.add_argument("--side", type=int, help="of the pictures, in pixels; `pretrained` wants 96 or more")
    parser.add_argument("--absent", nargs="*", default=["photos"], help="sets of which each kind is left out")
    parser.add_argument("--cells", type=Path, help="JSON lines; cells that it has are not measured again")
    parser.add_argument("--table", action="store_true", help="measure nothing, show what --cells has")
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    names = asked.sets or (["npy"] if asked.npy else list(SETS))
    file, started = CellsFile(asked.cells), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        side = asked.side or FitSettings().network.input_size
        sets = {one.name: one for one in read_sets(names, asked.data, asked.npy, side, Path(folder))}
        cells = planned(sets.values(), asked)
        if not asked.table:
            run(cells, sets, file, Methods(asked.steps, asked.device))
    rows = summary(cells, file)
    answer = {
        "benchmark": "quality",
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "commits": sorted({file.done[cell]["commit"] for cell in cells if cell in file.done}),
        "steps": asked.steps,
        "limit": asked.limit,
        "side": side,
        "seconds": round(time.monotonic() - started),
        "rows": rows,
    }
    if not asked.json:
        print_tables(rows)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
