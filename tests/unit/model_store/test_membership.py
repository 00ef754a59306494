import numpy as np
import pytest
from safetensors.numpy import save

from model_store.membership import Membership, name_hashes
from producer.errors import BundleInvalid


def reference(*names: str) -> bytes:
    return save({"seen": np.sort(name_hashes(names))})


def test_it_knows_its_pictures_and_no_others() -> None:
    members = Membership.of_reference(reference(*(f"img_{i}" for i in range(1000))))

    assert members is not None
    assert all(f"img_{i}" in members for i in range(1000))
    assert not any(f"other_{i}" in members for i in range(1000))
    assert "img_1" not in Membership(np.array([], np.uint64))


def test_the_file_names_nobody() -> None:
    assert b"img_" not in reference("img_1", "img_2")


def test_a_bundle_that_tells_nothing_of_it_is_not_taken_for_an_empty_one() -> None:
    assert Membership.of_reference(save({"shares": np.zeros(3, np.float32)})) is None


def test_a_damaged_file_says_so() -> None:
    with pytest.raises(BundleInvalid, match="learnt from"):
        Membership.of_reference(b"not safetensors")
