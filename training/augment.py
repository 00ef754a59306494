"""Random views of pictures, batched on tensors: what a self-supervised objective compares.

```
(B, 3, S, S) in [0, 1]
   geometry   crop, aspect, rotation, smooth warp, maybe a mirror: one resampling for all of them
   colour     saturation, channel mix, contrast, brightness; grey stays grey
   blur       softened by a random share
(B, 3, S, S) in [0, 1]
```

Every picture draws its own numbers from the device's default generator. Rotation is small and
mirrors are off by default: a 6 must not become a 9, nor a p a q.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from training.augmentation import Augmentation

WARP_CELLS = 4  # the warp is drawn on a grid this coarse, then smoothed


def augment(images: Tensor, settings: Augmentation) -> Tensor:
    """Draw one random view of each picture.

    Args:
        images: (B, 3, S, S) float32 in [0, 1].
        settings: how far a view may be from its picture.

    Returns:
        Views (B, 3, S, S) float32 in [0, 1], on the same device; equal generator states give equal views.
    """
    with torch.autocast(images.device.type, enabled=False):  # a coordinate in 16 bits is off by half a pixel
        return _blur(_colour(_geometry(images, settings), settings), settings).clamp(0, 1)


def _uniform(images: Tensor, low: float, high: float) -> Tensor:
    """Draw (B,) in [low, high), on the pictures' device."""
    return torch.empty(images.shape[0], device=images.device).uniform_(low, high)


def _chance(images: Tensor, probability: float) -> Tensor:
    """Draw (B,) booleans, true with this probability."""
    return torch.rand(images.shape[0], device=images.device) < probability


def _geometry(images: Tensor, settings: Augmentation) -> Tensor:
    """Resample once through crop, aspect, rotation, mirror and warp; beyond the border, its last pixel."""
    grid = F.affine_grid(_affine(images, settings), list(images.shape), align_corners=False)  # (B, S, S, 2)
    if settings.warp:
        coarse = torch.randn(len(images), 2, WARP_CELLS, WARP_CELLS, device=images.device) * settings.warp
        smooth = _smoothed(coarse, images.shape[-1])
        grid = grid + smooth.permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _smoothed(coarse: Tensor, side: int) -> Tensor:
    """Interpolate (B, 2, C, C) bicubically to (B, 2, S, S): as two products a quarter of the time.

    The weights are (1, 1, S, C).
    """
    cells = torch.eye(coarse.shape[-1], device=coarse.device)[None, None]
    weights = F.interpolate(cells, (side, coarse.shape[-1]), mode="bicubic", align_corners=False)
    return weights @ coarse @ weights.mT


def _affine(images: Tensor, settings: Augmentation) -> Tensor:
    """Draw (B, 2, 3): where each view looks, in coordinates of [-1, 1]; before rotation it stays inside."""
    side = _uniform(images, settings.min_crop, 1).sqrt()
    aspect = _uniform(images, -settings.aspect, settings.aspect).exp()
    width, height = (side * aspect).clamp(max=1), (side / aspect).clamp(max=1)
    right = _uniform(images, -1, 1) * (1 - width)
    down = _uniform(images, -1, 1) * (1 - height)
    width = torch.where(_chance(images, 0.5 * settings.horizontal_flip), -width, width)
    angle = _uniform(images, -settings.rotation_deg, settings.rotation_deg) * math.pi / 180
    cos, sin = angle.cos(), angle.sin()
    rows = (
        torch.stack([cos * width, -sin * height, right], 1),
        torch.stack([sin * width, cos * height, down], 1),
    )
    return torch.stack(rows, 1)


def _colour(images: Tensor, settings: Augmentation) -> Tensor:
    """Change saturation, channel mix, contrast and brightness; grey pixels stay grey."""
    grey = images.mean(1, keepdim=True)
    saturation = _uniform(images, 1 - settings.saturation, 1 + settings.saturation)
    saturation = saturation.masked_fill(_chance(images, settings.grey), 0).view(-1, 1, 1, 1)
    images = grey + (images - grey) * saturation
    if settings.channel_mix:
        noise = torch.randn(len(images), 3, 3, device=images.device) * settings.channel_mix
        mix = torch.eye(3, device=images.device) + noise - noise.mean(2, keepdim=True)  # rows sum to 1
        images = torch.einsum("bij,bjhw->bihw", mix, images)
    mean = images.mean((1, 2, 3), keepdim=True)
    contrast = _uniform(images, 1 - settings.contrast, 1 + settings.contrast).view(-1, 1, 1, 1)
    brightness = _uniform(images, 1 - settings.brightness, 1 + settings.brightness).view(-1, 1, 1, 1)
    return (images - mean) * contrast + mean * brightness


def _blur(images: Tensor, settings: Augmentation) -> Tensor:
    """Blend some pictures with their 3x3 mean, by a random share."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    rows = padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]
    soft = (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9  # avg_pool2d takes three times as long
    share = _uniform(images, 0, 1) * _chance(images, settings.blur)
    return torch.lerp(images, soft, share.view(-1, 1, 1, 1))
