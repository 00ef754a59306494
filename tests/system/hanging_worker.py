"""`shoal worker`, but a picture called `hang…` is never done, `slow…` takes 8 s, `grow…` a lot of memory."""

import sys
import threading

import console.cli
from producer.contracts import ClassifyImages, ImageRef
from worker.classifier import Classifier

GROWS_BY_BYTES = 1 << 30
honest = Classifier.classify
grown: list[bytes] = []


def classify(self: Classifier, message: ClassifyImages, attempt: int) -> list[ImageRef]:
    """Hang, dawdle, or do it."""
    name = message.images[0].image_id
    if "hang" in name:
        threading.Event().wait()
    if "grow" in name:
        grown.append(b"x" * GROWS_BY_BYTES)
    if "slow" in name:
        threading.Event().wait(8)
    return honest(self, message, attempt)


def main() -> None:
    """Run it."""
    Classifier.classify = classify  # type: ignore[method-assign]
    sys.argv = ["shoal", "worker"]
    console.cli.main()
