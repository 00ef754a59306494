import json
from typing import Any

import pytest
from pydantic import ValidationError

from producer.contracts import ClassifyImages, ImageRef, Result
from producer.ulid import new_ulid

SMALLEST: dict[str, Any] = {"image_id": "img_1", "bucket": "uploads", "key": "a/b.jpg"}
ULID = "01JDC4QJ5N3Y8R6W2K7V9ZXABC"  # fixed: tests run in several processes are named the same in each
BAD_NAMES = ["", "a/b", "../x", ".hidden", "-x", "_x", "a b", "é", "a\n", "a\x00", "s3://b", "a" * 129, 7]


def message(**fields: Any) -> ClassifyImages:
    return ClassifyImages.model_validate({"images": [SMALLEST], **fields})


def test_message_without_the_optional_fields_is_valid() -> None:
    read = ClassifyImages.model_validate_json(json.dumps({"images": [SMALLEST]}))

    assert (read.schema_version, read.collection, read.lane) == (1, "default", "interactive")
    assert read.job_id is None
    assert read.images[0].allow_training
    assert read.message_id
    assert read.submitted_at.tzinfo is not None


def test_message_of_the_design_is_valid() -> None:
    text = """
    {"schema_version": 1, "message_id": "01JDC4QJ5N3Y8R6W2K7V9ZXABC", "collection": "default",
     "lane": "interactive", "submitted_at": "2026-11-23T10:00:00Z", "job_id": null, "traceparent": null,
     "expires_at": null, "reclassify": false,
     "images": [{"image_id": "img_1", "bucket": "uploads", "key": "a/b.jpg", "version_id": null,
                 "etag": null, "allow_training": true}], "signature": null,
     "part_of": null}
    """

    read = ClassifyImages.model_validate_json(text)

    assert json.loads(read.model_dump_json()) == json.loads(text)


def test_unknown_fields_are_ignored_at_every_level() -> None:
    read = message(images=[{**SMALLEST, "colour": "blue"}], of_a_later_version={"x": 1})

    assert "colour" not in read.images[0].model_dump()
    assert "of_a_later_version" not in read.model_dump()


def test_unset_optional_fields_may_be_left_out_on_the_wire() -> None:
    sent = message()

    read = ClassifyImages.model_validate_json(sent.model_dump_json(exclude_none=True))

    assert read == sent


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("field", ["image_id", "bucket"])
def test_bad_name_in_a_reference_is_rejected(field: str, name: object) -> None:
    with pytest.raises(ValidationError, match=field):
        ImageRef.model_validate({**SMALLEST, field: name})


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("field", ["collection", "job_id"])
def test_bad_name_in_a_message_is_rejected(field: str, name: object) -> None:
    with pytest.raises(ValidationError, match=field):
        message(**{field: name})


@pytest.mark.parametrize("name", ["a", "0", "img_1", "A.b~c-d_e", "a..b", "a" * 128])
def test_good_name_is_accepted(name: str) -> None:
    assert ImageRef(image_id=name, bucket=name, key="k").image_id == name


@pytest.mark.parametrize("key", ["k" * 1024, "é" * 512, "a b/ü+%20?.jpg", "/", "../x"])
def test_key_of_at_most_1024_bytes_is_accepted_as_it_is(key: str) -> None:
    assert ImageRef(image_id="i", bucket="b", key=key).key == key


@pytest.mark.parametrize("key", ["", "k" * 1025, "é" * 513, "\ud800"])
def test_key_that_s3_could_not_have_is_rejected(key: str) -> None:
    with pytest.raises(ValidationError, match="key"):
        ImageRef(image_id="i", bucket="b", key=key)


@pytest.mark.parametrize("count", [1, 256])
def test_message_holds_one_to_256_images(count: int) -> None:
    assert len(message(images=[SMALLEST] * count).images) == count


@pytest.mark.parametrize("count", [0, 257])
def test_message_of_no_or_257_images_is_rejected(count: int) -> None:
    with pytest.raises(ValidationError, match="images"):
        message(images=[SMALLEST] * count)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema_version", 2),
        ("lane", "express"),
        ("message_id", "not-a-ulid"),
        ("message_id", ULID.lower()),
        ("message_id", ULID + "\n"),
        ("submitted_at", "yesterday"),
        ("traceparent", "x" * 257),
    ],
)
def test_message_with_a_field_out_of_range_is_rejected(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        message(**{field: value})


def test_contracts_cannot_be_changed_after_they_are_made() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        message().collection = "cats"  # type: ignore[misc]


def test_result_survives_json() -> None:
    result = Result.model_validate(
        {
            "image_id": "img_1",
            "collection": "default",
            "status": "assigned",
            "cluster": {"id": "c_9f2k", "name": "invoices", "index": 4},
            "distance": 1.83,
            "alternatives": [{"id": "c_11aa", "distance": 2.24}],
            "model": {"version": "v", "sha256": "s", "generation": 7},
            "message_id": new_ulid(),
        }
    )

    assert Result.model_validate_json(result.model_dump_json()) == result


def test_error_code_that_is_not_in_the_list_is_rejected() -> None:
    error = {"code": "fetch.tired", "detail": ""}

    with pytest.raises(ValidationError, match=r"error\.code"):
        Result.model_validate(
            {"image_id": "i", "collection": "c", "status": "failed", "error": error, "message_id": new_ulid()}
        )
