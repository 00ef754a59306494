import base64
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save

from model_store import mentions as module
from model_store.forgetting import forget
from model_store.mentions import Ids, Mention, mentions
from model_store.object_store import MemoryStore

ONE = Ids(["img_1"])


def parquet(**columns: list[object]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def encoded(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    ("key", "data"),
    [
        ("default/results/im/img_1.json", b"{}"),
        ("a.json", b'{"image_id": "img_1"}'),
        ("a.json", b'{"img_1": 1}'),
        ("a.json", b'{"error": "no object s/img_1.json, nor img_1."}'),
        ("a.json", json.dumps({"body": encoded([[], {"images": [{"image_id": "img_1"}]}])}).encode()),
        ("a.raw", json.dumps({"body": encoded([{"image_id": "img_1"}])}).encode()),
        ("a.json", json.dumps({"raw": encoded({"body": encoded({"image_id": "img_1"})})}).encode()),
        ("a.json", b'not json, and "img_1"'),
        ("report.html", b"<img alt='img_1'>"),
        ("a.parquet", parquet(image_id=["img_0", "img_1"])),
        ("a.parquet", parquet(note=["of img_1, it is said"])),
        ("a.parquet", parquet(near=[["x"], ["y", "img_1"]])),
        ("a.safetensors", save({"img_1": np.zeros(2, np.float32)})),
    ],
)
def test_an_id_is_found_wherever_it_stands(key: str, data: bytes) -> None:
    assert ONE.in_object(key, data) == {"img_1"}


@pytest.mark.parametrize(
    ("key", "data"),
    [
        ("default/results/im/img_10.json", b"{}"),
        ("a.json", b'{"image_id": "img_1.jpg", "key": "my-img_1"}'),
        ("a.parquet", parquet(image_id=["img_10", "img_1~"], n=[1, 2])),
        ("a.html", b"img_1.png"),
    ],
)
def test_an_id_within_another_is_not_meant(key: str, data: bytes) -> None:
    assert ONE.in_object(key, data) == set()


def test_numbers_do_not_spell_an_id() -> None:
    ids = Ids(["7", "ab"])
    noise = np.random.default_rng(0).integers(0, 255, 100_000, dtype=np.uint8)
    assert ids.in_object("a.safetensors", save({"x": noise})) == set()
    assert ids.in_object("a.json", b'{"index": 7, "sha256": "' + b"0a1b2c3d" * 8 + b'"}') == set()


def test_every_object_of_the_bucket_is_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCANNED_BYTES", 100)
    store = MemoryStore()
    store.put_many({f"c{i}/x{i}.json": b'"%b"' % (b"z" * i) for i in range(150)})
    store.put("c7/ledger/a.parquet", parquet(image_id=["img_1", "img_2"]))
    store.put("d/runs/report.html", b"<b>img_2</b>")

    assert list(mentions(store, ["img_1", "img_2", "img_3"])) == [
        Mention("c7/ledger/a.parquet", ("img_1", "img_2")),
        Mention("d/runs/report.html", ("img_2",)),
    ]


def test_rows_of_a_picture_go_and_the_others_stay_as_they_were() -> None:
    data = parquet(
        image_id=["img_1", "img_2", "img_1"],
        bucket=["u"] * 3,
        key=["a", "b", "c"],
        projection=[[0.1], [0.2], [0.3]],
    )
    left = forget("p.parquet", data, ONE)
    assert left is not None
    assert left.data is not None
    assert pq.read_table(io.BytesIO(left.data)).to_pylist() == [
        {"image_id": "img_2", "bucket": "u", "key": "b", "projection": [0.2]}
    ]
    assert (left.places, left.originals) == (2, {("u", "a"), ("u", "c")})
    assert forget("p.parquet", left.data, ONE) is None


def test_a_part_about_the_picture_only_goes_whole() -> None:
    left = forget("p.parquet", parquet(image_id=["img_1"]), ONE)
    assert left is not None
    assert left.data is None


def letter(*image_ids: str, error: str = "no") -> bytes:
    images = [{"image_id": image_id, "bucket": "u", "key": f"{image_id}.png"} for image_id in image_ids]
    return json.dumps({"error": error, "message": {"kwargs": {"images": images}}}).encode()


def test_an_entry_goes_out_of_a_dead_letter_and_its_neighbours_stay() -> None:
    left = forget("d.json", letter("img_1", "img_10", error="img_1 is at fault"), ONE)
    assert left is not None
    assert left.data is not None
    kept = json.loads(left.data)
    assert [image["image_id"] for image in kept["message"]["kwargs"]["images"]] == ["img_10"]
    assert kept["error"] == "[erased] is at fault"
    assert left.originals == {("u", "img_1.png")}


@pytest.mark.parametrize(
    ("key", "data"),
    [
        ("d.json", letter("img_1")),
        ("j.json", b'{"image_id": "img_1", "status": "assigned"}'),
        ("d.json", json.dumps({"raw": encoded({"image_id": "img_1"})}).encode()),
        ("d.raw", json.dumps({"body": encoded({"image_id": "img_1"})}).encode()),
        ("runs/report.html", b"<b>img_1</b>"),
    ],
)
def test_what_is_about_the_picture_only_or_cannot_be_taken_apart_goes_whole(key: str, data: bytes) -> None:
    left = forget(key, data, ONE)
    assert left is not None
    assert left.data is None
    assert left.places == 1


def test_exemplars_lose_the_picture() -> None:
    left = forget("exemplars.json", b'{"c_1": ["img_1", "img_2"], "c_2": []}', ONE)
    assert left is not None
    assert left.data is not None
    assert json.loads(left.data) == {"c_1": ["img_2"], "c_2": []}
