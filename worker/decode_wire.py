"""How the worker and its decoding processes talk: over two pipes, in frames, JSON first and raw bytes behind.

```
request   [[size_bytes, preprocess], ...]                        then each file's bytes
answer    [[decode_ms, "picture", width, height, format],        then each picture's (S, S, 3) pixels
           [decode_ms, "undecodable", code, detail],
           [decode_ms, "no memory"], ...]
```

A first answer, `[]`, says that the process is ready.
"""

import json
from collections.abc import Iterable
from struct import Struct
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict

from model_store.admission import DecodeLimits

_LENGTH = Struct(">I")


class DecoderOptions(BaseModel):
    """What a decoding process is told when it starts."""

    model_config = ConfigDict(frozen=True)

    limits: DecodeLimits
    cpu_s: float
    memory_bytes: int


def send(stream: BinaryIO, head: list[Any], bodies: Iterable[bytes | memoryview] = ()) -> None:
    """Write one frame."""
    text = json.dumps(head).encode()
    stream.write(b"".join((_LENGTH.pack(len(text)), text, *bodies)))
    stream.flush()


def receive_head(stream: BinaryIO) -> list[Any]:
    """Read the JSON of one frame.

    Raises:
        EOFError: the other side is gone.
        ValueError: it talks nonsense.
    """
    (length,) = _LENGTH.unpack(receive(stream, _LENGTH.size))
    head = json.loads(receive(stream, length))
    if not isinstance(head, list):
        raise ValueError("a frame begins with a list")  # noqa: TRY004 - one error for all nonsense
    return head


def receive(stream: BinaryIO, size: int) -> bytes:
    """Read exactly `size` bytes.

    Raises:
        EOFError: the other side is gone.
    """
    data = stream.read(size)
    if len(data) < size:
        raise EOFError("the other side is gone")
    return data
