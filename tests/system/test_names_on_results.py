from model_store.cluster_names import ClusterNames
from producer.contracts import Cluster, ImageRef
from tests.system.running_platform import Platform, wait_until


def answered(platform: Platform, ref: ImageRef) -> Cluster:
    cluster = platform.results([ref], platform.submit([ref]))[ref.image_id].cluster
    assert cluster is not None
    return cluster


def test_names_and_merges_stand_on_new_results_and_shoal_result_shows_those_of_now(serving: Platform) -> None:
    old, ref, other = serving.upload_kinds("names", 4)[0], *serving.upload_kinds("more", 2)
    first, own, target = answered(serving, old), answered(serving, ref), answered(serving, other)
    assert first.id == own.id != target.id  # by kind
    names = ClusterNames(serving.store, serving.collection)

    names.name(own.id, "invoices")
    wait_until(lambda: answered(serving, ref).name == "invoices", 60, "the name")
    assert serving.shoal("result", old.image_id)["cluster"]["name"] == "invoices"  # its result is older

    names.name(target.id, "paper")
    names.merge(own.id, target.id)
    wait_until(lambda: answered(serving, ref).id == target.id, 60, "the merge")
    merged = answered(serving, ref)
    assert merged == Cluster(id=target.id, name="paper", index=own.index, assigned_id=own.id)
    assert serving.shoal("result", old.image_id)["cluster"]["id"] == target.id

    names.split(own.id)
    shown = serving.shoal("result", ref.image_id)["cluster"]  # its result is of the time of the merge
    assert (shown["id"], shown["name"], shown["assigned_id"]) == (own.id, "invoices", None)
