"""What a fault test holds the results against: the model asked directly, without queue, store or worker."""

from collections.abc import Mapping

import numpy as np

from model_store.admission import DecodeLimits
from model_store.decode import Picture, decode
from model_store.manifest import sha256
from model_store.registry import Registry
from producer.contracts import Result
from tests.system.running_platform import Platform


def expected_clusters(platform: Platform, pictures: Mapping[str, bytes]) -> dict[str, str]:
    """Give each picture the cluster id that the champion assigns; the pictures must be decodable."""
    registry = Registry(platform.store, platform.collection)
    bundle = registry.load(registry.current(), "cpu")
    pixels = []
    for data in pictures.values():
        picture = decode(data, bundle.manifest.preprocess, DecodeLimits())
        assert isinstance(picture, Picture)
        pixels.append(picture.pixels)
    nearest = bundle.predictor.predict(np.stack(pixels)).nearest[:, 0]
    return {name: bundle.clusters[index].id for name, index in zip(pictures, nearest, strict=True)}


def is_right(result: Result, data: bytes, cluster_id: str) -> bool:
    """Tell whether a result is of these bytes, and says what the model says."""
    return (
        result.input is not None
        and result.input.sha256 == sha256(data)
        and result.cluster is not None
        and result.cluster.id == cluster_id
    )
