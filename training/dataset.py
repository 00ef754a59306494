"""Where training pictures come from: a folder, an .npy array, or any stream of encoded files.

```
from_folder --+
ledger ... ---+--> from_encoded --> decode in threads --> drop duplicates --> corpus.npy, mapped
from_npy   -------------------------------> resize ------------------------> corpus.npy, mapped
```

The same order in gives the same corpus out, whatever the number of threads.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_store.counted import counted
from model_store.decode import DecodeLimits, Undecodable
from model_store.preprocess import Preprocess, to_pixels
from producer.contracts import ErrorCode
from producer.errors import ConfigurationError, TrainingFailed
from training.corpus import Corpus, PixelFile
from training.decode_pool import Encoded, decode_in_threads
from training.near_duplicates import NearDuplicates
from training.room import parts

MAX_FILE_BYTES = 20 * 2**20  # as for uploads

READ_AT_ONCE = 64  # pictures of an array

OnProgress = Callable[[int, int | None], None]


def from_folder(
    path: Path,
    preprocess: Preprocess,
    limits: DecodeLimits,
    workdir: Path,
    *,
    min_pictures: int = 2,
    on_progress: OnProgress | None = None,
) -> Corpus:
    """Take every picture in a folder and the folders in it, sorted by path.

    Files and folders whose names start with a dot are left out; links to folders are not followed.

    Args:
        path: the folder.
        preprocess: how pictures become pixels; goes into the bundle.
        limits: what is decoded at all.
        workdir: where `corpus.npy` is written; it must outlive the corpus.
        min_pictures: fewer are an error.
        on_progress: called with files done and files in all.

    Raises:
        ConfigurationError: no such folder, or no file in it.
        TrainingFailed: fewer than `min_pictures` could be taken; the message says why the others were not.
    """
    if not path.is_dir():
        raise ConfigurationError(f"{path} is not a folder: give a folder of pictures or an .npy file")
    files = sorted(_files(path))
    if not files:
        raise ConfigurationError(f"there are no files in {path}: give a folder of pictures")
    items = ((name, _read(path / name)) for name in files)
    return from_encoded(
        items,
        preprocess,
        limits,
        workdir,
        source=str(path),
        total=len(files),
        min_pictures=min_pictures,
        on_progress=on_progress,
    )


def from_encoded(
    items: Iterable[Encoded],
    preprocess: Preprocess,
    limits: DecodeLimits,
    workdir: Path,
    *,
    source: str,
    total: int | None = None,
    min_pictures: int = 2,
    on_progress: OnProgress | None = None,
    n_threads: int | None = None,
    near_duplicates: NearDuplicates | None = None,
) -> Corpus:
    """Decode a stream of picture files; only a few of them are in memory at any time.

    Args:
        items: name, and either the file's bytes or the code of why there are none.
        preprocess: how pictures become pixels.
        limits: what is decoded at all.
        workdir: where `corpus.npy` is written; it must outlive the corpus.
        source: what to call the stream in errors.
        total: how many items there will be, if known.
        min_pictures: fewer are an error.
        on_progress: called with items done and `total`.
        n_threads: that decode; one per core by default.
        near_duplicates: if given, pictures that look like one it has seen are left out.

    Raises:
        TrainingFailed: fewer than `min_pictures` could be taken; the message says why the others were not.
    """
    names: list[str] = []
    seen: set[bytes] = set()
    rejected: Counter[str] = Counter()
    digest, n_done, n_duplicates, n_alike = hashlib.sha256(), 0, 0, 0
    with PixelFile(workdir, preprocess.input_size) as rows:
        for name, content, outcome in decode_in_threads(items, preprocess, limits, n_threads):
            n_done += 1
            if isinstance(outcome, Undecodable):
                rejected[outcome.code] += 1
            elif content in seen:
                n_duplicates += 1
            elif near_duplicates is not None and near_duplicates.seen(outcome.pixels):
                n_alike += 1
            else:
                seen.add(content)
                names.append(name)
                digest.update(content + name.encode("utf-8", "surrogateescape") + b"\n")
                rows.append(outcome.pixels)
            if on_progress is not None:
                on_progress(n_done, total)
        if len(names) < max(1, min_pictures):
            raise TrainingFailed(
                f"{len(names)} of {counted(n_done, 'file')} in {source} could be used, at least "
                f"{min_pictures} are needed"
                f"{_in_words({**rejected, 'duplicates': n_duplicates, 'near duplicates': n_alike})}"
            )
    return Corpus(rows.mapped(), tuple(names), digest.hexdigest(), dict(rejected), n_duplicates, n_alike)


def from_npy(
    path: Path,
    preprocess: Preprocess,
    workdir: Path,
    *,
    min_pictures: int = 2,
    on_progress: OnProgress | None = None,
) -> Corpus:
    """Take an array of pictures, (N, H, W, 3) or grey (N, H, W), uint8.

    Every row is taken, duplicates too, so that labels of the same length still fit. An array that is
    (N, S, S, 3) already is mapped where it lies; any other is resized into `workdir`.

    Raises:
        ConfigurationError: no such file, or not such an array.
        TrainingFailed: fewer than `min_pictures` rows.
    """
    array = _load(path)
    if len(array) < max(1, min_pictures):
        raise TrainingFailed(
            f"{path} holds {counted(len(array), 'picture')}; at least {min_pictures} are needed"
        )
    names = tuple(str(row) for row in range(len(array)))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    side = preprocess.input_size
    if array.shape[1:] == (side, side, 3):
        return Corpus(array, names, digest)
    with PixelFile(workdir, side) as rows:
        for start, part in parts(array, READ_AT_ONCE):
            for done, picture in enumerate(part, start + 1):
                rows.append(to_pixels(Image.fromarray(picture), preprocess))
                if on_progress is not None:
                    on_progress(done, len(array))
    return Corpus(rows.mapped(), names, digest)


def _files(path: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith("."):
                yield Path(folder, name).relative_to(path).as_posix()


def _read(path: Path) -> bytes | ErrorCode:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:  # a link that leads nowhere, or gone since the listing
        return "fetch.not_found"
    except PermissionError:
        return "fetch.denied"
    return "fetch.too_large" if len(data) > MAX_FILE_BYTES else data


def _load(path: Path) -> NDArray[np.uint8]:
    expected = "expected is an .npy file of (N, H, W, 3) or (N, H, W), uint8"
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as err:
        raise ConfigurationError(f"there is no file {path}") from err
    except (OSError, ValueError, EOFError) as err:
        raise ConfigurationError(f"{path} cannot be read as an array: {expected}") from err
    if not isinstance(array, np.ndarray):
        array.close()
        raise ConfigurationError(f"{path} is an archive of several arrays: {expected}")
    colour, grey = array.ndim == 4 and array.shape[3] == 3, array.ndim == 3
    if array.dtype != np.uint8 or not (colour or grey) or 0 in array.shape[1:]:
        raise ConfigurationError(f"{path} holds an array of shape {array.shape}, {array.dtype}: {expected}")
    return array


def _in_words(left_out: dict[str, int]) -> str:
    reasons = [f"{number} {reason}" for reason, number in sorted(left_out.items()) if number]
    return f"; left out: {', '.join(reasons)}" if reasons else ""
