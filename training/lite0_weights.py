"""EfficientNet-Lite0's published weights, as `efficientnet_lite.py` wants them: without batch norms."""

import re
from collections.abc import Mapping
from typing import Final

from torch import Tensor
from torch.nn.utils.fusion import fuse_conv_bn_weights

BATCH_NORM_EPS: Final = 1e-3
NORM_OF: Final = {  # which batch norm follows which convolution
    "expand_conv": "bn0",
    "depthwise_conv": "bn1",
    "project_conv": "bn2",
    "conv_stem": "bn0",
    "conv_head": "bn1",
}


def folded(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fold each batch norm into the convolution before it: half as long again per picture without it.

    Args:
        published: weights as `efficientnet_lite_pytorch` names them (`_blocks.0._bn1.weight`); a classifier
            among them is left out.

    Returns:
        Weights by the names of `EfficientNetLite0`; what lacks a batch norm is missing.
    """
    own = {re.sub(r"(^|\.)_", r"\1", name): value for name, value in published.items()}
    found = dict[str, Tensor]()
    for name, weight in own.items():
        path, _, kind = name.removesuffix(".weight").rpartition(".")
        norm = f"{path}.{NORM_OF[kind]}".lstrip(".") if kind in NORM_OF else ""
        if f"{norm}.running_mean" in own:
            convolution = name.removesuffix(".weight")
            mean, var, scale, shift = (
                own[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
            )
            found[f"{convolution}.weight"], found[f"{convolution}.bias"] = fuse_conv_bn_weights(
                weight, None, mean, var, BATCH_NORM_EPS, scale, shift
            )
    return found
