"""JPEG decoders in one thread: CPU per photograph to the network's 32 x 32, and how far off our pixels.

    .venv/bin/python benchmarks/jpeg_decoders.py [--photos ../shared/data/photos] [--repeats 9]

What is not installed gets an environment of its own. `ours` is `model_store.decode` with all its checks;
the others check nothing. Medians of interleaved repeats; a table, then one JSON line.
"""

import argparse
import importlib.util
import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.race.environment import ROOT, environment
from model_store.decode import DecodeLimits, Picture, decode
from model_store.preprocess import REDUCING_GAP, Preprocess

NEEDS = ("simplejpeg==1.9.0", "pyvips==3.2.0", "pyvips-binary==8.18.7")
PHOTOS, LONGER_SIDE, QUALITY = 128, 256, 92
LIMITS, PREPROCESS = DecodeLimits(), Preprocess()
SIDE = PREPROCESS.input_size
BILINEAR = Image.Resampling.BILINEAR
Pixels = NDArray[np.uint8]


def ours(data: bytes) -> Pixels:
    picture = decode(data, PREPROCESS, LIMITS)
    if not isinstance(picture, Picture):
        raise TypeError(picture.detail)
    return picture.pixels


def pillow(data: bytes) -> Pixels:
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (SIDE, SIDE))
    return np.asarray(image.resize((SIDE, SIDE), BILINEAR, reducing_gap=REDUCING_GAP))


def pillow_in_full(data: bytes) -> Pixels:
    image = Image.open(io.BytesIO(data))
    return np.asarray(image.resize((SIDE, SIDE), BILINEAR, reducing_gap=REDUCING_GAP))


def simplejpeg(data: bytes) -> Pixels:
    import simplejpeg  # noqa: PLC0415

    pixels = simplejpeg.decode_jpeg(data, min_height=SIDE, min_width=SIDE, min_factor=1)
    return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), BILINEAR, reducing_gap=REDUCING_GAP))


def pyvips(data: bytes) -> Pixels:
    import pyvips  # noqa: PLC0415

    return np.asarray(pyvips.Image.thumbnail_buffer(data, SIDE, height=SIDE, size="force").numpy())


WAYS: dict[str, Callable[[bytes], Pixels]] = {
    "ours": ours,
    "Pillow, scaled in the DCT": pillow,
    "Pillow, in full": pillow_in_full,
    "simplejpeg, scaled in the DCT": simplejpeg,
    "pyvips, scaled on load": pyvips,
}


def files(photos: Path) -> list[bytes]:
    made = []
    for path in sorted(photos.rglob("*.jpg"))[:PHOTOS]:
        with Image.open(path) as image:
            image.thumbnail((LONGER_SIDE, LONGER_SIDE))
            file = io.BytesIO()
            image.convert("RGB").save(file, "JPEG", quality=QUALITY)
        made.append(file.getvalue())
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=ROOT.parent / "shared" / "data" / "photos")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    if importlib.util.find_spec("simplejpeg") is None:
        python = environment("jpeg-decoders", NEEDS) / "python"
        sys.exit(subprocess.run([python, *sys.argv], check=False).returncode)
    photos = files(options.photos)
    if not photos:
        sys.exit(f"no photographs in {options.photos}")
    spent: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(options.repeats):
        for way, work in WAYS.items():
            started = time.process_time()
            for data in photos:
                work(data)
            spent[way].append(1e6 * (time.process_time() - started) / len(photos))
    expected = [ours(data).astype(int) for data in photos]
    answer = {}
    print(f"{len(photos)} photographs of {sum(map(len, photos)) / len(photos):,.0f} bytes")
    for way, work in WAYS.items():
        off = statistics.mean(
            float(np.abs(work(d)[..., :3] - e).mean()) for d, e in zip(photos, expected, strict=True)
        )
        answer[way] = {"cpu_us": round(statistics.median(spent[way])), "off": round(off, 2)}
        spread = f"{min(spent[way]):.0f} to {max(spent[way]):.0f}"
        print(f"{way:32} {answer[way]['cpu_us']:6} us ({spread}), {off:.2f} levels off")
    print(json.dumps({"benchmark": "jpeg_decoders", "ways": answer}))


if __name__ == "__main__":
    main()
