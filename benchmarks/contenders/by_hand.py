"""What each contender's task does with pictures, written by hand: boto3, Pillow, the model, boto3.

The bundle and the way pictures become pixels are Shoal's own, so that all compute the same. The environment
says where things are. One line per stored picture goes to a file: when, and how many shared its pass.
"""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3
import numpy as np
from botocore.config import Config

from benchmarks.contenders.stub_device import on_stub
from model_store.bundle import Bundle, load_bundle
from model_store.bundle_files import SERVING_FILES
from model_store.decode import DecodeLimits, Picture, decode
from model_store.manifest import sha256

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

LIMITS = DecodeLimits()
FETCHES = 16
_once = Lock()


@cache
def _client() -> "S3Client":
    """Give the process's client; boto3's clients are thread-safe."""
    return boto3.client(
        "s3",
        endpoint_url=os.environ["BENCH_ENDPOINT"],
        aws_access_key_id=os.environ["BENCH_ACCESS_KEY"],
        aws_secret_access_key=os.environ["BENCH_SECRET_KEY"],
        region_name="us-east-1",
        config=Config(max_pool_connections=2 * FETCHES, s3={"addressing_style": "path"}),
    )


@cache
def _bundle() -> Bundle:
    folder = os.environ["BENCH_MODEL"]

    def read(key: str) -> bytes:
        return _client().get_object(Bucket=os.environ["BENCH_BUCKET"], Key=f"{folder}/{key}")["Body"].read()

    manifest = read("manifest.json")
    bundle = load_bundle(manifest, {name: read(name) for name in SERVING_FILES}, sha256(manifest), "cpu")
    if os.environ["BENCH_DEVICE_RATE"]:
        return on_stub(bundle, float(os.environ["BENCH_DEVICE_RATE"]))
    return bundle


@cache
def _log() -> int:
    return os.open(os.environ["BENCH_DONE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(FETCHES)


def warm() -> None:
    """Load the model and connect, once per process."""
    with _once:
        _bundle()
        _client()
        _log()


def classify_one(image_id: str, key: str) -> None:
    """Do one picture: a batch of one."""
    warm()
    store(image_id, answers([_pixels(key)])[0], 1)


def classify_many(images: list[tuple[str, str]]) -> None:
    """Do some pictures in one pass; fetched and stored in threads, since one at a time would be slow."""
    warm()
    pixels = list(_threads().map(_pixels, (key for _, key in images)))
    found = answers(pixels)
    list(
        _threads().map(lambda done: store(done[0][0], done[1], len(images)), zip(images, found, strict=True))
    )


def _pixels(key: str) -> np.ndarray:
    return pixels_of(fetched(key))


def fetched(key: str) -> bytes:
    """Read one upload."""
    return _client().get_object(Bucket=os.environ["BENCH_UPLOADS"], Key=key)["Body"].read()


def pixels_of(data: bytes) -> np.ndarray:
    """Bring a file to the model's pixels, (S, S, 3) uint8."""
    picture = decode(data, _bundle().manifest.preprocess, LIMITS)
    if not isinstance(picture, Picture):
        raise TypeError(picture.detail)
    return picture.pixels


def answers(pixels: list[np.ndarray]) -> list[dict[str, object]]:
    """Answer for a batch, in one pass of the device."""
    bundle = _bundle()
    found = bundle.predict(np.stack(pixels))
    return [
        {
            "cluster": bundle.clusters[found.nearest[row][0]].id,
            "distance": float(found.distances[row][0]),
            "typicality": float(found.typicality[row]),
            "unknown": bool(found.unknown[row]),
        }
        for row in range(len(pixels))
    ]


def store(image_id: str, answer: dict[str, object], batch: int) -> None:
    """Store a result under a name of its own: done twice, it lies there twice."""
    _client().put_object(
        Bucket=os.environ["BENCH_BUCKET"],
        Key=f"{os.environ['BENCH_RESULTS']}/{image_id}.{uuid4().hex}.json",
        Body=json.dumps({"image_id": image_id, **answer}).encode(),
    )
    os.write(_log(), json.dumps([time.time(), 1, batch]).encode() + b"\n")
