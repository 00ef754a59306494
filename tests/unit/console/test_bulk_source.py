"""What a bulk submission goes through: in pages, each of which can be the last one for now."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from console.bulk_folder import Folder, files_after
from console.bulk_source import BulkPage, BulkSource, CsvManifest, StoredPictures
from model_store.object_store import MemoryStore
from producer.contracts import ImageRef
from producer.errors import ConfigurationError, ShoalError
from producer.s3_events import image_id_for


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.bulk_source.PAGE", 3)
    monkeypatch.setattr("console.bulk_folder.PAGE", 3)


def refs(pages: list[BulkPage]) -> list[ImageRef]:
    return [ref for page in pages for ref in page.refs]


def goes_on_anywhere(source: BulkSource) -> bool:
    """Tell whether the pages after each cursor are those that were still to come."""
    pages = list(source.pages(""))
    return all(
        refs(list(source.pages(page.cursor))) == refs(pages[number:])
        for number, page in enumerate(pages, start=1)
    )


def csv_of(tmp_path: Path, text: str) -> CsvManifest:
    file = tmp_path / "manifest.csv"
    file.write_text(text, encoding="utf-8")
    return CsvManifest(file, "uploads", ("uploads", "more"))


def test_every_object_under_a_prefix_is_a_reference_markers_of_folders_are_not() -> None:
    store = MemoryStore()
    store.put_many(dict.fromkeys(("a/", "a/1.png", "a/b/2.png", "a/b/3.png", "a/c/4.png", "other"), b""))
    source = StoredPictures(store, "uploads", "a/")
    assert [ref.key for ref in refs(list(source.pages("")))] == [
        "a/1.png",
        "a/b/2.png",
        "a/b/3.png",
        "a/c/4.png",
    ]
    assert goes_on_anywhere(source)


def test_a_line_of_a_manifest_says_as_much_as_it_wants(tmp_path: Path) -> None:
    source = csv_of(
        tmp_path,
        'key,image_id,bucket,etag,allow_training,label\na.png,,,,,cat\n"b,ü.png",img_2,more,e1,false,dog\n',
    )
    assert source.unused == ["label"]
    assert refs(list(source.pages(""))) == [
        ImageRef(image_id=image_id_for("uploads", "a.png"), bucket="uploads", key="a.png"),
        ImageRef(image_id="img_2", bucket="more", key="b,ü.png", etag="e1", allow_training=False),
    ]


def test_lines_that_can_be_no_references_are_counted_and_the_first_is_told(tmp_path: Path) -> None:
    source = csv_of(
        tmp_path, "key,image_id,bucket,allow_training\nok.png,,,\n,,,\nx,a/b,,\ny,,secret,\nz,,,maybe\n"
    )
    pages = list(source.pages(""))
    assert [ref.key for ref in refs(pages)] == ["ok.png"]
    assert sum(page.skipped for page in pages) == 4
    assert pages[0].first_skipped is not None
    assert pages[0].first_skipped.startswith("entry 3: key:")


def test_a_manifest_goes_on_after_any_page(tmp_path: Path) -> None:
    assert goes_on_anywhere(csv_of(tmp_path, "key\n" + "".join(f"{i}.png\n" for i in range(10))))


@pytest.mark.parametrize("text", ["name\na.png\n", "a.png\nb.png\n"])
def test_a_manifest_without_keys_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="no column `key`"):
        csv_of(tmp_path, text)


def test_a_manifest_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_bytes(b"key\n\xff\xfe\x00\n")
    with pytest.raises(ConfigurationError, match="no CSV in UTF-8"):
        CsvManifest(tmp_path / "manifest.csv", "uploads", ("uploads",))


def test_a_manifest_that_changed_is_another_one(tmp_path: Path) -> None:
    assert csv_of(tmp_path, "key\na\n").identity != csv_of(tmp_path, "key\nb\n").identity


def folder_of(tmp_path: Path, *names: str) -> Path:
    folder = tmp_path / "pictures"
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


NAMES = ("a/1", "a/2", "a/deep/er/3", "a.b", "b", "c/1", "z")


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_files_come_in_one_order_and_go_on_after_any_of_them(tmp_path: Path, at_once: int) -> None:
    folder = folder_of(tmp_path, *NAMES)
    everything = list(files_after(folder, (), at_once))
    assert sorted(everything) == sorted(NAMES)
    for number, name in enumerate(everything, start=1):
        assert list(files_after(folder, tuple(name.split("/")), at_once)) == everything[number:]


def test_a_file_that_went_is_gone_on_after_all_the_same(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, *NAMES)
    (folder / "a/2").unlink()
    assert next(files_after(folder, ("a", "2"))) == "a/deep/er/3"


def test_a_folder_is_uploaded_by_content_and_a_loop_of_links_is_not_followed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, *NAMES)
    (folder / "loop").symlink_to(folder)
    store = MemoryStore()
    source = Folder(folder, store, "uploads", "cli/")
    pages = list(source.pages(""))
    assert source.total == len(NAMES)
    assert sorted(store.get(ref.key).data.decode() for ref in refs(pages)) == sorted(NAMES)
    assert goes_on_anywhere(source)


def test_uploads_are_bounded_in_bytes_and_what_is_too_large_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.bulk_folder.UPLOADED_BYTES", 10)
    monkeypatch.setattr("console.bulk_folder.MAX_FILE_BYTES", 8)
    monkeypatch.setattr("console.bulk_folder.PAGE", 100)
    folder = folder_of(tmp_path, "123456", "abcdef", "ab", "123456789")
    puts: list[int] = []

    class Counting(MemoryStore):
        def put_many(
            self, items: Mapping[str, bytes], *, create_only: bool = False
        ) -> dict[str, str | ShoalError]:
            puts.append(sum(map(len, items.values())))
            return super().put_many(items, create_only=create_only)

    [page] = Folder(folder, Counting(), "uploads", "").pages("")
    assert [ref.key.rpartition("/")[2] for ref in page.refs] == ["123456", "ab", "abcdef"]
    assert puts == [8, 6]
    assert (page.skipped, page.first_skipped) == (1, "123456789: 9 bytes, no picture has more than 8")
