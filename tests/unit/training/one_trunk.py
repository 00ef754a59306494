"""A trunk of random weights in the place of the published ones: most tests do not go by their values."""

import pytest
import torch

from model_store.efficientnet_lite import EfficientNetLite0
from training.recipes import pretrained


def random_trunk(monkeypatch: pytest.MonkeyPatch, seed: int = 0) -> EfficientNetLite0:
    """Let the recipe `pretrained` take these weights for the published ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trunk = EfficientNetLite0()
        for convolution in trunk.modules():
            if isinstance(convolution, torch.nn.Conv2d):  # in torch's own start the signal dies out
                torch.nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    monkeypatch.setattr(pretrained, "published_lite0", lambda: trunk)
    return trunk
