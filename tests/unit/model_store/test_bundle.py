import json
from collections.abc import Mapping

import numpy as np
import pytest
import safetensors.numpy
from numpy.typing import NDArray

from model_store.bundle import load_bundle, load_decoder
from model_store.bundle_files import CLUSTERS, DECODER, ENCODER, EXEMPLARS, PROBE, SERVING_FILES
from model_store.clusterer import KMEANS_FILE, PCA_FILE
from model_store.exemplars import exemplars_from_bytes
from model_store.manifest import Manifest, sha256
from producer.errors import BundleInvalid
from tests.tiny_model import TinyBundle, described, make_tiny_bundle, tiny_model, tiny_pixels


def load(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    data = manifest.to_bytes()
    load_bundle(data, files, sha256(data), "cpu")


def with_file(bundle: TinyBundle, name: str, data: bytes) -> TinyBundle:
    """The bundle with one file exchanged and its digest right: only what is in the file can be refused."""
    manifest, files = bundle
    return described(manifest, {**files, name: data})


def probe_of(bundle: TinyBundle) -> dict[str, NDArray[np.generic]]:
    arrays: dict[str, NDArray[np.generic]] = safetensors.numpy.load(bundle[1][PROBE])
    return arrays


def test_a_loaded_bundle_predicts_as_the_model_that_was_packed(tiny_bundle: TinyBundle) -> None:
    manifest, files = tiny_bundle
    data = manifest.to_bytes()
    pixels = tiny_pixels(8, seed=5)

    bundle = load_bundle(data, files, sha256(data), "cpu")

    probe = safetensors.numpy.load(files[PROBE])
    np.testing.assert_allclose(bundle.predict(probe["pixels"]).distances, probe["distances"], atol=1e-6)
    assert [entry.id for entry in bundle.clusters] == ["c_0000", "c_0001", "c_0002"]
    assert len(bundle.predict(pixels)) == 8


def test_a_bundle_of_format_1_serves_by_its_own_rule(tiny_bundle: TinyBundle) -> None:
    kmeans = safetensors.numpy.load(tiny_bundle[1][KMEANS_FILE])
    del kmeans["residual_weight"]  # what format 1 does not have
    limit = 0.5 * float(kmeans["distance_quantiles"].max())
    kmeans["unknown_distance"] = np.full(len(kmeans["counts"]), limit, np.float32)
    manifest, files = with_file(tiny_bundle, KMEANS_FILE, safetensors.numpy.save(kmeans))
    data = manifest.model_copy(update={"format_version": 1}).to_bytes()
    assert b'"format_version": 1' in data

    prediction = load_bundle(data, files, sha256(data), "cpu").predict(tiny_pixels(60, seed=5))

    np.testing.assert_array_equal(prediction.unknown, prediction.distances[:, 0] > limit)
    assert 0 < prediction.unknown.sum() < 60


def test_exemplars_are_pictures_of_the_corpus(tiny_bundle: TinyBundle) -> None:
    exemplars = exemplars_from_bytes(tiny_bundle[1][EXEMPLARS])

    assert list(exemplars) == [cluster["id"] for cluster in json.loads(tiny_bundle[1][CLUSTERS])["clusters"]]
    assert all(name.endswith(".png") for names in exemplars.values() for name in names)


def test_no_file_that_the_manifest_lists_names_a_picture(tiny_bundle: TinyBundle) -> None:
    manifest, files = tiny_bundle
    names = {name for of_one in exemplars_from_bytes(files[EXEMPLARS]).values() for name in of_one}

    assert EXEMPLARS not in manifest.files
    assert not any(name.encode() in files[file] for file in manifest.files for name in names)


@pytest.mark.parametrize("name", SERVING_FILES)
def test_a_file_that_is_no_model_is_refused(tiny_bundle: TinyBundle, name: str) -> None:
    manifest, files = with_file(tiny_bundle, name, b"not what it should be")

    with pytest.raises(BundleInvalid, match="cannot be built"):
        load(manifest, files)


@pytest.mark.parametrize("array", ["projections", "distances"])
@pytest.mark.parametrize("off_by", [0.01, float("nan"), float("inf")])
def test_a_failing_probe_is_refused(tiny_bundle: TinyBundle, array: str, off_by: float) -> None:
    probe = probe_of(tiny_bundle)
    probe[array][-1, -1] += off_by

    with pytest.raises(BundleInvalid, match=f"fails its probe: {array}"):
        load(*with_file(tiny_bundle, PROBE, safetensors.numpy.save(probe)))


def test_weights_that_are_not_finite_fail_the_probe(tiny_bundle: TinyBundle) -> None:
    weights = safetensors.numpy.load(tiny_bundle[1][ENCODER])
    weights["embed.bias"] = np.full_like(weights["embed.bias"], np.nan)

    with pytest.raises(BundleInvalid, match="fails its probe"):
        load(*with_file(tiny_bundle, ENCODER, safetensors.numpy.save(weights)))


def test_the_weights_of_another_model_fail_the_probe(tiny_bundle: TinyBundle) -> None:
    _, others = make_tiny_bundle(seed=1)

    with pytest.raises(BundleInvalid, match="fails its probe"):
        load(*with_file(tiny_bundle, ENCODER, others[ENCODER]))


def test_weights_of_another_shape_are_refused(tiny_bundle: TinyBundle) -> None:
    manifest, files = tiny_bundle
    wider = manifest.architecture.model_copy(update={"widths": (8, 32)})

    with pytest.raises(BundleInvalid, match="cannot be built"):
        load(manifest.model_copy(update={"architecture": wider}), files)


def test_a_pca_for_embeddings_of_another_length_is_refused(tiny_bundle: TinyBundle) -> None:
    pca = safetensors.numpy.load(tiny_bundle[1][PCA_FILE])
    shorter = {**pca, "mean": pca["mean"][:-1], "components": np.ascontiguousarray(pca["components"][:, :-1])}

    with pytest.raises(BundleInvalid, match=r"pca\.safetensors .* takes embeddings of 11 .* gives 12"):
        load(*with_file(tiny_bundle, PCA_FILE, safetensors.numpy.save(shorter)))


@pytest.mark.parametrize("name", [PCA_FILE, KMEANS_FILE])
def test_clusterer_files_that_lack_an_array_are_refused(tiny_bundle: TinyBundle, name: str) -> None:
    arrays = safetensors.numpy.load(tiny_bundle[1][name])
    arrays.popitem()

    with pytest.raises(BundleInvalid, match="lack an array"):
        load(*with_file(tiny_bundle, name, safetensors.numpy.save(arrays)))


def test_a_bundle_that_does_not_name_every_centroid_is_refused(tiny_bundle: TinyBundle) -> None:
    clusters: list[object] = json.loads(tiny_bundle[1][CLUSTERS])["clusters"]

    for wrong in (clusters[:-1], clusters[::-1], []):
        with pytest.raises(BundleInvalid, match=r"clusters\.json .* does not name every centroid"):
            load(*with_file(tiny_bundle, CLUSTERS, json.dumps({"clusters": wrong}).encode()))


def test_the_plain_list_of_clusters_of_version_0_1_is_still_read(tiny_bundle: TinyBundle) -> None:
    clusters = json.loads(tiny_bundle[1][CLUSTERS])["clusters"]

    manifest, files = with_file(tiny_bundle, CLUSTERS, json.dumps(clusters).encode())
    bundle = load_bundle(manifest.to_bytes(), files, sha256(manifest.to_bytes()), "cpu")

    assert [entry.id for entry in bundle.clusters] == [cluster["id"] for cluster in clusters]
    assert bundle.retired == ()


def test_the_decoder_is_restored(tiny_bundle: TinyBundle) -> None:
    manifest, files = tiny_bundle

    decoder = load_decoder(manifest, files[DECODER])

    expected = tiny_model().decoder.state_dict()
    assert all((weights == expected[name]).all() for name, weights in decoder.state_dict().items())
    with pytest.raises(BundleInvalid, match=r"decoder\.safetensors"):
        load_decoder(manifest, files[DECODER] + b"\0")


def test_two_centroids_of_one_id_are_refused(tiny_bundle: TinyBundle) -> None:
    named = json.loads(tiny_bundle[1][CLUSTERS])
    named["clusters"][1]["id"] = named["clusters"][0]["id"]

    with pytest.raises(BundleInvalid, match=r"clusters\.json of version .* gives two centroids one id"):
        load(*with_file(tiny_bundle, CLUSTERS, json.dumps(named).encode()))


@pytest.mark.parametrize("name", ["pixels", "projections", "distances"])
def test_a_probe_that_lacks_or_misshapes_an_array_is_invalid(tiny_bundle: TinyBundle, name: str) -> None:
    whole = probe_of(tiny_bundle)
    lacking = {key: array for key, array in whole.items() if key != name}
    for arrays in (lacking, {**whole, name: whole[name][:2]}):
        with pytest.raises(BundleInvalid, match="cannot answer its probe"):
            load(*with_file(tiny_bundle, PROBE, safetensors.numpy.save(arrays)))


def test_a_decoder_of_another_architecture_is_invalid(tiny_bundle: TinyBundle) -> None:
    manifest, files = with_file(tiny_bundle, DECODER, safetensors.numpy.save({"x": np.zeros(1)}))

    with pytest.raises(BundleInvalid, match=r"decoder\.safetensors of version .* cannot be built"):
        load_decoder(manifest, files[DECODER])
