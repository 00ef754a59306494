from pathlib import PurePath

import pytest

from console.picture_names import may_be_picture


@pytest.mark.parametrize("name", ["a.jpg", "b/A.JPEG", "x.webp", "scan.tif", "upload_17"])
def test_a_picture_by_its_name_and_what_has_no_suffix_may_be_one(name: str) -> None:
    assert may_be_picture(PurePath(name))


@pytest.mark.parametrize("name", [".DS_Store", "b/Thumbs.db", "README.txt", "._a.jpg", ".cache/a.jpg"])
def test_hidden_files_and_other_suffixes_are_none(name: str) -> None:
    assert not may_be_picture(PurePath(name))
