"""How much memory a message of the largest accepted pictures takes: `python -m tests.fuzz.largest`.

Sends one message of 256 references through the worker's reader: WebP of 25 M pixels with alpha, which takes
most of the formats that are on by default. Linux only. Prints a line for the worker's process and one
for each that decodes.
"""

import argparse
import time
from pathlib import Path

import psutil
from PIL import Image

from model_store.admission import DecodeLimits
from model_store.images import ImageSource
from model_store.object_store import MemoryStore
from model_store.preprocess import Preprocess
from producer.contracts import ClassifyImages, ImageRef
from tests.fuzz.child import RESET_PEAK
from tests.fuzz.corpus import LARGEST
from tests.unit.model_store.picture_files import encode
from worker.decoders import Decoders, enough_memory
from worker.pipeline import Ready
from worker.reader import Reader

MAX_IMAGE_BYTES = 20 << 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=256)
    told = parser.parse_args()
    flat = Image.new("RGBA", (LARGEST, LARGEST), (200, 30, 40, 128))
    store, limits = MemoryStore(), DecodeLimits()
    store.put("largest.webp", encode(flat, "WEBP", lossless=True, quality=0, method=0))
    del flat
    decoders = Decoders(limits, None, cpu_s=30.0, memory_bytes=enough_memory(limits, MAX_IMAGE_BYTES))
    reader = Reader(ImageSource({"uploads": store}, MAX_IMAGE_BYTES), decoders)
    refs = [ImageRef(image_id=f"i{i}", bucket="uploads", key="largest.webp") for i in range(told.pictures)]
    Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    before, started = _peak_mb(psutil.Process()), time.perf_counter()

    outcomes = reader.read(ClassifyImages(images=tuple(refs)), Preprocess(), stop_at_error=True)

    ready = sum(isinstance(outcome, Ready) for outcome in outcomes)
    print(f"{ready} of {len(refs)} decoded in {time.perf_counter() - started:.0f} s")
    print(f"worker's process: {before} MB at most before, {_peak_mb(psutil.Process())} MB after")
    for child in psutil.Process().children():
        print(f"decoding process: {_peak_mb(child)} MB at most")
    reader.close()


def _peak_mb(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split(maxsplit=1)[0]) * 1024 // 1_000_000


if __name__ == "__main__":
    main()
