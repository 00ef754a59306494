from typing import Any
from urllib.parse import quote_plus

import pytest

from producer.contracts import ImageRef
from producer.errors import InvalidReference
from producer.s3_events import image_id_for, refs_from_s3_event


def record(key: str = "a/b.jpg", event: str = "ObjectCreated:Put", **item: Any) -> dict[str, Any]:
    return {
        "eventName": event,
        "s3": {"bucket": {"name": "uploads"}, "object": {"key": quote_plus(key, safe="/"), **item}},
    }


def test_created_object_becomes_a_reference() -> None:
    event = {"Records": [record(versionId="v1", eTag="d41d8cd9", size=1024, sequencer="0055AED6DCD90281E5")]}

    refs = refs_from_s3_event(event)

    image_id = image_id_for("uploads", "a/b.jpg")
    assert refs == [
        ImageRef(image_id=image_id, bucket="uploads", key="a/b.jpg", version_id="v1", etag="d41d8cd9")
    ]


@pytest.mark.parametrize("key", ["a b.jpg", "a+b.jpg", "ü/é 😀.jpg", "100%.jpg", "a%20b.jpg", "a&b=c?.jpg"])
def test_url_encoded_key_is_decoded_once(key: str) -> None:
    assert refs_from_s3_event({"Records": [record(key)]})[0].key == key


@pytest.mark.parametrize("event", ["s3:ObjectCreated:Put", "ObjectCreated:CompleteMultipartUpload"])
def test_names_of_creation_differ_by_store_and_are_all_understood(event: str) -> None:
    assert len(refs_from_s3_event({"Records": [record(event=event)]})) == 1


def test_other_events_are_passed_over() -> None:
    gone = [record(event="ObjectRemoved:Delete"), record(event="s3:ObjectRestore:Post"), {}]

    assert refs_from_s3_event({"Records": [*gone, record("kept.jpg")]})[0].key == "kept.jpg"
    assert refs_from_s3_event({"Records": gone}) == []


@pytest.mark.parametrize("event", [{}, {"Records": None}, {"Records": {}}, {"Event": "s3:TestEvent"}])
def test_event_without_records_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(InvalidReference, match="Records"):
        refs_from_s3_event(event)


@pytest.mark.parametrize(
    "broken",
    [
        "text",
        None,
        {"eventName": "ObjectCreated:Put"},
        {"eventName": "ObjectCreated:Put", "s3": None},
        {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "uploads"}, "object": {}}},
        {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "uploads"}, "object": {"key": 7}}},
        {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "uploads"}, "object": {"key": ""}}},
        {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "../x"}, "object": {"key": "k"}}},
        {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "uploads"}, "object": "k"}},
    ],
)
def test_broken_record_is_refused(broken: object) -> None:
    with pytest.raises(InvalidReference):
        refs_from_s3_event({"Records": [record(), broken]})


def test_same_upload_gets_the_same_id_and_another_gets_another() -> None:
    ids = {image_id_for("uploads", "a"), image_id_for("uploads", "b"), image_id_for("other", "a")}

    assert len(ids) == 3
    assert image_id_for("uploads", "a") in ids
