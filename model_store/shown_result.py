"""A result with the names and merges that people gave, as of now."""

from model_store.cluster_names import Names
from producer.contracts import Alternative, Result


def shown(result: Result, names: Names) -> Result:
    """Give a result its cluster's present name and, where people merged the cluster, the other's id.

    What the model itself said stays in `assigned_id`, so that undoing a merge brings it back.
    """
    cluster = result.cluster
    if cluster is None:
        return result
    if not names.names and not names.merges and cluster.name is None and cluster.assigned_id is None:
        return result  # as the model said it, which nobody has spoken of
    own = cluster.assigned_id or cluster.id
    cluster_id, name = names.display(own)
    others: dict[str, Alternative] = {}
    for alternative in result.alternatives:  # nearest first
        other = names.display(alternative.id).id
        if other != cluster_id:
            others.setdefault(other, alternative.model_copy(update={"id": other}))
    as_shown = {"id": cluster_id, "name": name, "assigned_id": None if own == cluster_id else own}
    return result.model_copy(
        update={
            "cluster": cluster.model_copy(update=as_shown),
            "alternatives": tuple(others.values()),
        }
    )
