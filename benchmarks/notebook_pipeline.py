"""The pipeline of the notebook that Shoal comes from, written anew, to measure against.

```
(B, 3, S, S) in [-1, 1] -> 3 blocks: convolution 3x3, batch norm, ReLU, max-pool     64, 128, 256 channels
(B, 256 S/8 S/8)        -> 3 transposed convolutions, each doubles the side -> tanh      squared error, Adam
latents of all pictures -> RBF kernel PCA, 200 -> t-SNE, 2 -> MiniBatchKMeans
```
Neither kernel PCA nor t-SNE is kept: a new picture cannot be placed, all are clustered again.
Its decoder and learning rate are not known; these are the usual ones for such a network.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import KernelPCA
from sklearn.manifold import TSNE
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from producer.errors import TrainingFailed
from training.fit_settings import Plan

WIDTHS: Final = (64, 128, 256)
LEARNING_RATE: Final = 1e-3  # Adam's own
N_KERNEL_COMPONENTS: Final = 200
READ_AT_ONCE: Final = 256  # pictures


class NotebookAutoencoder(nn.Module):
    """Three blocks down, three up."""

    def __init__(self) -> None:
        super().__init__()
        down, up, inputs = list[nn.Module](), list[nn.Module](), 3
        for outputs in WIDTHS:
            down += [nn.Conv2d(inputs, outputs, 3, 1, 1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
            above = [nn.Tanh()] if inputs == 3 else [nn.BatchNorm2d(inputs), nn.ReLU()]
            up = [nn.ConvTranspose2d(outputs, inputs, 4, 2, 1), *above, *up]
            inputs = outputs
        self.encoder, self.decoder = nn.Sequential(*down), nn.Sequential(*up)

    def forward(self, images: Tensor) -> Tensor:
        """Draw (B, 3, S, S) again."""
        drawn: Tensor = self.decoder(self.encoder(images))
        return drawn


def fit_notebook(
    pixels: NDArray[np.uint8], plan: Plan, random_state: int, device: str = "cpu"
) -> NotebookAutoencoder:
    """Train on pictures (N, S, S, 3), for as many steps of as many pictures as the plan says.

    Raises:
        TrainingFailed: the loss is not finite.
    """
    rng = np.random.default_rng(random_state)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_state)
        network = NotebookAutoencoder().to(device)
    adam = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    order, loss = np.empty(0, np.intp), torch.zeros(())
    for _ in range(plan.n_steps):
        if len(order) < plan.batch_size:
            order = rng.permutation(len(pixels))
        chosen, order = order[: plan.batch_size], order[plan.batch_size :]
        images = to_signed(pixels[chosen], device)
        loss = F.mse_loss(network(images), images)
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    if not torch.isfinite(loss):
        raise TrainingFailed(f"the notebook's loss is {loss.item()}")
    return network.eval()


@torch.inference_mode()
def latents(
    network: NotebookAutoencoder, pixels: NDArray[np.uint8], device: str = "cpu"
) -> NDArray[np.float32]:
    """Encode pictures (N, S, S, 3) to (N, 256 S/8 S/8)."""
    found = [
        network.encoder(to_signed(pixels[start : start + READ_AT_ONCE], device)).flatten(1).cpu().numpy()
        for start in range(0, len(pixels), READ_AT_ONCE)
    ]
    return np.concatenate(found)


def notebook_clusters(encoded: NDArray[np.float32], n_clusters: int, random_state: int) -> NDArray[np.int64]:
    """Cluster latents (N, L), all at once: (N,) in [0, K)."""
    n_components = min(N_KERNEL_COMPONENTS, len(encoded) - 1)
    kernel = KernelPCA(n_components, kernel="rbf", random_state=random_state).fit_transform(encoded)
    flat = TSNE(2, random_state=random_state).fit_transform(kernel)
    return np.asarray(MiniBatchKMeans(n_clusters, random_state=random_state).fit_predict(flat), np.int64)


def to_signed(pixels: NDArray[np.uint8], device: str) -> Tensor:
    """Turn (B, S, S, 3) uint8 into (B, 3, S, S) in [-1, 1]."""
    return torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
