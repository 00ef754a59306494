"""What an upload platform imports: the client, the contracts, the errors. No torch, numpy or boto3.

```
with Producer("redis://broker:6379/0") as producer:
    producer.submit(ImageRef(image_id="img_1", bucket="uploads", key="a/b.jpg"))
```
"""

from typing import TYPE_CHECKING, Any

from producer.contracts import ClassifyImages, ImageRef, Result
from producer.settings import BrokerSettings

if TYPE_CHECKING:
    from producer.client import Producer

__all__ = ["BrokerSettings", "ClassifyImages", "ImageRef", "Producer", "Result"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - as Python defines it
    """Import the client when it is first asked for: decoding processes need the contracts, and no Celery."""
    if name != "Producer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from producer.client import Producer  # noqa: PLC0415

    return Producer
