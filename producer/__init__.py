"""What an upload platform imports: the client, the contracts, the errors. No torch, numpy or boto3.

```
with Producer("redis://broker:6379/0") as producer:
    producer.submit(ImageRef(image_id="img_1", bucket="uploads", key="a/b.jpg"))
```
"""

from producer.client import Producer
from producer.contracts import ClassifyImages, ImageRef, Result
from producer.settings import BrokerSettings

__all__ = ["BrokerSettings", "ClassifyImages", "ImageRef", "Producer", "Result"]
