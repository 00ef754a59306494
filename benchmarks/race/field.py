"""Where contenders meet: the embedded servers, the same pictures in the store, one model for all."""

import io
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from console.stack import Stack
from model_store.manifest import new_version
from model_store.registry import Registry
from model_store.s3 import S3Store
from model_store.settings import StoreSettings
from training.dataset import from_encoded
from training.progress import Silent
from training.settings import Settings
from training.train import train

SIZES: Final = ("32 px", "photos")
COLLECTION: Final = "default"
PHOTO_SIDE: Final = 256
DATABASES: Final = 16  # of Redis: one for each contender


class Field:
    """Servers, pictures and a model. Inside the `with` block all are there.

    Args:
        data: holds `cifar10/train.npz` and `photos/*.jpg`; None, or without these: scanned digits, enlarged.
        n: different pictures of each size.
        fsync: as `Stack`.
    """

    folder: Path
    store: S3Store
    uploads: S3Store

    def __init__(self, data: Path | None, n: int, *, fsync: bool) -> None:
        self._data = data
        self._n = n
        self.stack = Stack(fsync=fsync)
        self._undo = ExitStack()
        self.keys: dict[str, list[str]] = {}
        self.files: dict[str, list[bytes]] = {}

    def __enter__(self) -> Self:
        self.folder = Path(self._undo.enter_context(tempfile.TemporaryDirectory()))
        self._undo.enter_context(self.stack)
        self.settings = StoreSettings(
            endpoint=self.stack.endpoint, credentials_file=self.stack.credentials_file
        )
        self.store = S3Store(self.stack.bucket, self.settings)
        self.uploads = S3Store(self.stack.uploads_bucket, self.settings)
        for size, suffix, files in (
            ("32 px", "png", [_encoded(pixels, "PNG") for pixels in self._small()]),
            ("photos", "jpg", list(self._photos())),
        ):
            keys = [f"{size.replace(' ', '')}/{i:05}.{suffix}" for i in range(len(files))]
            self.keys[size], self.files[size] = keys, files
            self.uploads.put_many(dict(zip(keys, files, strict=True)))
        self.model = self._publish()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.store.close()
        self.uploads.close()
        self._undo.close()

    def broker_url(self, database: int) -> str:
        """Give a Redis database of one's own."""
        return f"{self.stack.broker_url.rsplit('/', 1)[0]}/{database}"

    def _small(self) -> NDArray[np.uint8]:
        if self._data is not None and (found := self._data / "cifar10" / "train.npz").exists():
            with np.load(found) as arrays:
                return np.asarray(arrays["x"][: self._n])
        digits = (load_digits().images[: self._n] * 15).astype(np.uint8)
        noise = np.random.default_rng(0).integers(0, 16, (len(digits), 32, 32, 3), np.uint8)
        return digits.repeat(4, 1).repeat(4, 2)[..., None] + noise

    def _photos(self) -> Iterable[bytes]:
        found = sorted((self._data / "photos").rglob("*.jpg"))[: self._n] if self._data is not None else []
        if not found:
            for pixels in self._small():
                yield _encoded(np.asarray(Image.fromarray(pixels).resize((PHOTO_SIDE, PHOTO_SIDE))), "JPEG")
        for path in found:
            with Image.open(path) as image:
                image.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
                yield _encoded(np.asarray(image.convert("RGB")), "JPEG")

    def _publish(self) -> str:
        """Fit a model of the usual size for a few steps and promote it; gives the folder of its files."""
        settings = Settings.model_validate(
            {"training": {"fit": {"recipe": "pixel", "epochs": 1, "min_steps": 20, "max_steps": 20}}}
        )
        items = zip(self.keys["32 px"], self.files["32 px"], strict=True)
        corpus = from_encoded(
            items, settings.training.preprocess, settings.decode, self.folder, source="bench"
        )
        trained = train(corpus, settings.training, Silent(), source="bench", collection=COLLECTION)
        registry = Registry(self.store, COLLECTION)
        version = registry.publish(
            trained.manifest.model_copy(update={"version": new_version()}), trained.files
        ).version
        registry.promote(version)
        return f"{COLLECTION}/models/{version}"


def _encoded(pixels: NDArray[np.uint8], kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **({"quality": 92} if kind == "JPEG" else {}))
    return file.getvalue()
