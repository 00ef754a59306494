"""LitServe, dynamic batching as its documentation teaches, fed by a process that pulls from a Redis list.

The puller's threads fetch a picture, ask the server for it, and store the answer: sixteen at once.
"""

import base64
import json
import multiprocessing
import os
import socket
import threading
from typing import Any

import litserve
import numpy as np
import redis
import urllib3

from benchmarks.contenders import by_hand

QUEUE = "pictures"
BATCH, WAIT_S = 64, 0.01
PULLERS = 16


class Api(litserve.LitAPI):
    """The model behind HTTP."""

    def setup(self, device: str) -> None:
        """Load the model, once per process."""
        _ = device
        by_hand.warm()

    def decode_request(self, request: dict[str, str]) -> np.ndarray:
        """Bring one picture to pixels."""
        return by_hand.pixels_of(base64.b64decode(request["picture"]))

    def predict(self, pixels: np.ndarray) -> list[dict[str, object]]:
        """Answer for a batch of them."""
        return [{**answer, "batch": len(pixels)} for answer in by_hand.answers(list(pixels))]

    def encode_response(self, answer: dict[str, object]) -> dict[str, object]:
        """Answer for one."""
        return answer


def pull(port: int) -> None:
    """Keep the server busy."""
    queue = redis.Redis.from_url(os.environ["BENCH_BROKER"], socket_timeout=None)  # it waits for work
    http = urllib3.PoolManager(
        maxsize=PULLERS, retries=urllib3.Retry(total=None, connect=None, backoff_factor=0.1)
    )

    def one_after_the_other() -> None:
        while True:
            image_id, key = json.loads(queue.blpop([QUEUE])[1])  # type: ignore[index]
            picture = base64.b64encode(by_hand.fetched(key)).decode()
            told = http.request("POST", f"http://127.0.0.1:{port}/predict", json={"picture": picture})
            answer: dict[str, Any] = told.json()
            by_hand.store(image_id, answer, answer.pop("batch"))

    threads = [threading.Thread(target=one_after_the_other) for _ in range(PULLERS)]
    for thread in threads:
        thread.start()


def submit(images: list[tuple[str, str]]) -> None:
    """Queue each picture."""
    queue = redis.Redis.from_url(os.environ["BENCH_BROKER"])
    for image_id, key in images:
        queue.rpush(QUEUE, json.dumps([image_id, key]))


def main() -> None:
    """Serve, and pull."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.get_context("spawn").Process(target=pull, args=(port,), daemon=True).start()
    server = litserve.LitServer(Api(max_batch_size=BATCH, batch_timeout=WAIT_S), accelerator="cpu")
    server.run(host="127.0.0.1", port=port, generate_client_file=False)


if __name__ == "__main__":
    main()
