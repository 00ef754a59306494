import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from producer.contracts import ClassifyImages, ImageRef
from producer.errors import ShoalError


class Post:
    """Stands where Redis does behind an `Outbox`: keeps what is published; can be held up, and can fail."""

    def __init__(self) -> None:
        self.messages: list[ClassifyImages] = []
        self.sent_together: list[int] = []  # messages
        self.error: Exception | None = None  # raised
        self.refused: dict[str, ShoalError] = {}  # by the image id that its message begins with
        self.reached = threading.Event()  # somebody is publishing, or has
        self._let_through = threading.Event()
        self._let_through.set()

    def __call__(self, messages: Sequence[ClassifyImages]) -> Iterator[ShoalError | None]:
        self.reached.set()
        assert self._let_through.wait(20)
        if self.error is not None:
            raise self.error
        self.sent_together.append(len(messages))
        for message in messages:
            refusal = self.refused.get(message.images[0].image_id)
            if refusal is None:
                self.messages.append(message)
            yield refusal

    def hold(self) -> None:
        self._let_through.clear()

    def release(self) -> None:
        self._let_through.set()

    @property
    def sizes(self) -> list[int]:
        return [len(message.images) for message in self.messages]

    @property
    def image_ids(self) -> list[str]:
        return [image.image_id for message in self.messages for image in message.images]


def ref(number: int, key: str = "a/b.jpg") -> ImageRef:
    return ImageRef(image_id=f"img_{number}", bucket="uploads", key=key)


def wait_until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.002)


def size_on_the_wire(message: ClassifyImages) -> int:
    """Bytes of the task's body as Celery writes it, before its base64."""
    kwargs = message.model_dump(mode="json", exclude_none=True)
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return len(json.dumps([[], kwargs, embed]))
