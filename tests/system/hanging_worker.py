"""`shoal worker`, but a picture called `hang…` is never done, and one called `slow…` takes 8 s."""

import sys
import threading

from console.cli import main
from producer.contracts import ClassifyImages, ImageRef
from worker.classifier import Classifier

honest = Classifier.classify


def classify(self: Classifier, message: ClassifyImages, attempt: int) -> list[ImageRef]:
    """Hang, dawdle, or do it."""
    name = message.images[0].image_id
    if "hang" in name:
        threading.Event().wait()
    if "slow" in name:
        threading.Event().wait(8)
    return honest(self, message, attempt)


if __name__ == "__main__":
    Classifier.classify = classify  # type: ignore[method-assign]
    sys.argv = ["shoal", "worker"]
    main()
