import numpy as np
import pytest

from model_store.membership import Membership
from producer.errors import BundleInvalid


def test_it_knows_its_pictures_and_no_others_after_writing_and_reading() -> None:
    members = Membership.from_bytes(Membership.of([f"img_{i}" for i in range(1000)] * 2).to_bytes())

    assert len(members.hashes) == 1000
    assert all(f"img_{i}" in members for i in range(1000))
    assert not any(f"other_{i}" in members for i in range(1000))
    assert "img_1" not in Membership(np.array([], np.uint64))


def test_the_file_names_nobody_and_takes_8_bytes_a_picture() -> None:
    data = Membership.of(["img_1", "img_2"]).to_bytes()

    assert b"img_" not in data
    assert len(Membership.of(str(i) for i in range(10_000)).to_bytes()) < 80_000 + 200


def test_a_damaged_file_says_so() -> None:
    with pytest.raises(BundleInvalid, match="list of a model's pictures"):
        Membership.from_bytes(b"not safetensors")
