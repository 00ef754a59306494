"""Corpora of picture files: in order, in a mapped file, with an account of what was left out."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model_store.decode import DecodeLimits, Picture, decode
from model_store.preprocess import Preprocess
from producer.errors import ConfigurationError, TrainingFailed
from training import dataset
from training.corpus import PixelFile
from training.dataset import from_encoded, from_folder
from training.decode_pool import READ_AHEAD_PER_THREAD, Encoded

SIDE = 8
PREPROCESS = Preprocess(input_size=SIDE)
LIMITS = DecodeLimits()
PHOTOS = Path(__file__).parents[4] / "shared" / "data" / "photos"


def noise(seed: int, shape: tuple[int, ...] = (12, 10, 3)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(seed)).save(buffer, "PNG")
    return buffer.getvalue()


def items(count: int) -> list[Encoded]:
    return [(f"img_{seed}", encoded(seed)) for seed in range(count)]


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_folder_is_taken_with_its_folders_sorted_by_path(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", {"b/2.png": encoded(2), "a.png": encoded(1), "b/1.jpg": encoded(3)})

    corpus = from_folder(folder, PREPROCESS, LIMITS, tmp_path / "work")

    assert corpus.names == ("a.png", "b/1.jpg", "b/2.png")
    assert corpus.pixels.shape == (3, SIDE, SIDE, 3)
    assert len(corpus) == 3


def test_pixels_are_those_that_serving_would_see(tmp_path: Path) -> None:
    corpus = from_encoded(items(5), PREPROCESS, LIMITS, tmp_path, source="test")

    for seed, row in enumerate(corpus.pixels):
        served = decode(encoded(seed), PREPROCESS, LIMITS)
        assert isinstance(served, Picture)
        assert np.array_equal(row, served.pixels)


def test_pixels_are_mapped_from_a_file_that_numpy_can_load(tmp_path: Path) -> None:
    corpus = from_encoded(items(11), PREPROCESS, LIMITS, tmp_path, source="test")

    assert isinstance(corpus.pixels, np.memmap)
    assert np.array_equal(np.load(tmp_path / "corpus.npy"), corpus.pixels)


def test_what_cannot_be_used_is_counted_by_code(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "in",
        {
            "1.png": encoded(1),
            "2.png": encoded(2),
            "cut.png": encoded(3)[:60],
            "empty.png": b"",
            "labels.csv": b"file,label",
            "notes.jpg": b"text",
            ".hidden.png": encoded(4),
            ".git/5.png": encoded(5),
        },
    )

    corpus = from_folder(folder, PREPROCESS, LIMITS, tmp_path / "work")

    assert corpus.names == ("1.png", "2.png")
    assert corpus.rejected == {"decode.corrupt": 1, "decode.empty": 1, "decode.unsupported": 2}
    assert corpus.n_rejected == 4


def test_codes_of_a_source_are_counted_as_well(tmp_path: Path) -> None:
    stream: list[Encoded] = [*items(2), ("img_gone", "fetch.not_found")]

    corpus = from_encoded(stream, PREPROCESS, LIMITS, tmp_path, source="test")

    assert corpus.rejected == {"fetch.not_found": 1}


def test_files_over_the_byte_limit_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "in", {"1.png": encoded(1), "2.png": encoded(2), "big.png": bytes(2000)})
    monkeypatch.setattr(dataset, "MAX_FILE_BYTES", 1000)

    corpus = from_folder(folder, PREPROCESS, LIMITS, tmp_path / "work")

    assert corpus.rejected == {"fetch.too_large": 1}


def test_link_that_leads_nowhere_is_counted(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", {"1.png": encoded(1), "2.png": encoded(2)})
    (folder / "3.png").symlink_to(tmp_path / "nowhere")

    corpus = from_folder(folder, PREPROCESS, LIMITS, tmp_path / "work")

    assert corpus.rejected == {"fetch.not_found": 1}


def test_exact_duplicates_are_dropped_and_the_first_name_kept(tmp_path: Path) -> None:
    stream = [("first", encoded(1)), ("second", encoded(2)), ("again", encoded(1))]

    corpus = from_encoded(stream, PREPROCESS, LIMITS, tmp_path, source="test")

    assert corpus.names == ("first", "second")
    assert corpus.n_duplicates == 1
    assert corpus.n_rejected == 0


def test_any_number_of_threads_gives_the_same_corpus(tmp_path: Path) -> None:
    alone = from_encoded(items(60), PREPROCESS, LIMITS, tmp_path / "1", source="test", n_threads=1)
    together = from_encoded(items(60), PREPROCESS, LIMITS, tmp_path / "8", source="test", n_threads=8)

    assert together.digest == alone.digest
    assert together.names == alone.names
    assert np.array_equal(together.pixels, alone.pixels)


def test_digest_tells_corpora_apart(tmp_path: Path) -> None:
    swapped = [(f"img_{seed}", encoded(1 - seed)) for seed in range(2)]

    digests = {
        from_encoded(stream, PREPROCESS, LIMITS, tmp_path, source="test").digest
        for stream in (items(2), items(3), swapped, items(2)[::-1])
    }

    assert len(digests) == 4


def test_stream_is_read_only_a_little_ahead(tmp_path: Path) -> None:
    n_read, lead = 0, []

    def stream() -> Iterator[Encoded]:
        nonlocal n_read
        for item in items(100):
            n_read += 1
            yield item

    from_encoded(
        stream(),
        PREPROCESS,
        LIMITS,
        tmp_path,
        source="test",
        n_threads=2,
        on_progress=lambda done, _: lead.append(n_read - done),
    )

    assert max(lead) <= 2 * READ_AHEAD_PER_THREAD


def test_progress_counts_every_file(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    folder = write(tmp_path / "in", {"1.png": encoded(1), "2.png": encoded(2), "3.txt": b"text"})

    from_folder(folder, PREPROCESS, LIMITS, tmp_path / "work", on_progress=lambda *step: seen.append(step))

    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere is not a folder"):
        from_folder(tmp_path / "nowhere", PREPROCESS, LIMITS, tmp_path)


def test_folder_without_files_is_named(tmp_path: Path) -> None:
    (tmp_path / "in" / "deeper").mkdir(parents=True)

    with pytest.raises(ConfigurationError, match=r"there are no files in .*in"):
        from_folder(tmp_path / "in", PREPROCESS, LIMITS, tmp_path / "work")


def test_too_few_pictures_are_explained_and_leave_no_file(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "in", {"1.png": encoded(1), "2.png": encoded(1), "3.txt": b"text", "4.jpg": b""}
    )

    with pytest.raises(TrainingFailed) as failure:
        from_folder(folder, PREPROCESS, LIMITS, tmp_path / "work", min_pictures=50)

    message = str(failure.value)
    assert message.startswith("1 of 4 files in ")
    assert "at least 50 are needed" in message
    assert message.endswith("left out: 1 decode.empty, 1 decode.unsupported, 1 duplicates")
    assert list((tmp_path / "work").iterdir()) == []


def test_second_corpus_in_a_folder_leaves_the_first_ones_pixels(tmp_path: Path) -> None:
    first = from_encoded(items(3), PREPROCESS, LIMITS, tmp_path, source="test")
    before = np.array(first.pixels)

    from_encoded(items(9)[3:], PREPROCESS, LIMITS, tmp_path, source="test")

    assert np.array_equal(first.pixels, before)


def test_row_of_another_shape_is_not_written(tmp_path: Path) -> None:
    with PixelFile(tmp_path, SIDE) as rows, pytest.raises(ValueError, match="a row is"):
        rows.append(noise(0, (9, 9, 3)))


@pytest.mark.skipif(not PHOTOS.exists(), reason=f"needs the photographs in {PHOTOS}")
def test_folder_of_photographs_is_taken_whole(tmp_path: Path) -> None:
    corpus = from_folder(PHOTOS, PREPROCESS, LIMITS, tmp_path)

    assert len(corpus) + corpus.n_duplicates == 600
    assert corpus.rejected == {"decode.unsupported": 1}  # labels.csv
