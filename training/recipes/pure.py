"""`pure`: no outside weights. Two views of a picture must name the same prototype, and be drawn again.

```
picture -> two random views -> encoder -> embeddings (2B, D) -> unit length
                                  |            x prototypes (Q, D) -> scores (2B, Q)
                               decoder         targets of one view: its scores, balanced over the batch
                                  |            loss: cross-entropy with the other view's scores
                          reconstruction
```

Prototypes are many small clusters (Q, more than the clusters wanted): they pull the embedding
into clumps, which is what KMeans needs, and the balance keeps them from collapsing into one.
They act on the embedding itself, not on a head that is thrown away, and are dropped after training.
Source: Caron et al. (2020), Unsupervised Learning of Visual Features by Contrasting Cluster Assignments.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from model_store.architecture import Architecture
from model_store.autoencoder import to_images
from training.augment import augment
from training.augmentation import Augmentation
from training.recipes.objective import Batch, Losses, Objective
from training.team import gathered, own_part

N_PROTOTYPES = 64
TEMPERATURE = 0.1  # of the scores; their targets are made sharper, below
SHARPNESS = 0.05
SINKHORN_ROUNDS = 3


class Pure(Objective):
    """Swapped prediction of prototypes between two views, plus reconstruction of the first."""

    def __init__(self, architecture: Architecture, augmentation: Augmentation) -> None:
        super().__init__(architecture, augmentation)
        self.prototypes = nn.Linear(architecture.embedding_dim, N_PROTOTYPES, bias=False)

    def forward(self, batch: Batch) -> Losses:
        """Give `agreement` (nats), `reconstruction` (of views in [0, 1]) and their sum, `total`."""
        images = to_images(batch.pixels)
        views = torch.cat(
            [augment(images, self.augmentation), augment(images, self.augmentation)]
        )  # (2B, 3, S, S)
        embeddings = self.encoder(views)  # (2B, D)
        with torch.autocast(embeddings.device.type, enabled=False):  # the targets are sharper than 16 bits
            agreement = self._agreement(embeddings.float())
        n_images = len(images)
        drawn = self.decoder(embeddings[:n_images]).float()
        reconstruction = F.mse_loss(drawn, views[:n_images])
        return {"total": agreement + reconstruction, "agreement": agreement, "reconstruction": reconstruction}

    def _agreement(self, embeddings: Tensor) -> Tensor:
        """Predict each view's balanced prototypes from the other view: (2B, D) to a scalar."""
        scores = F.linear(F.normalize(embeddings), F.normalize(self.prototypes.weight))  # cosines (2B, Q)
        first, second = scores.chunk(2)
        predictions = F.log_softmax(torch.cat([second, first]) / TEMPERATURE, dim=1)
        targets = torch.cat([self._targets(first), self._targets(second)])
        return -(targets * predictions).sum(1).mean()

    def _targets(self, scores: Tensor) -> Tensor:
        """Balance over the whole step, of which this process may have a part."""
        return own_part(balanced(gathered(scores))) if self.training else balanced(scores)


@torch.no_grad()
def balanced(scores: Tensor) -> Tensor:
    """Share each picture out over the prototypes so that all are used alike.

    Args:
        scores: (B, Q) cosines.

    Returns:
        Probabilities (B, Q): rows sum to 1, columns to about B / Q.
    Source: the Sinkhorn-Knopp iteration of Cuturi (2013), as Caron et al. (2020) use it.
    """
    plan = torch.exp((scores - scores.max()) / SHARPNESS)
    for _ in range(SINKHORN_ROUNDS):
        plan = plan / plan.sum(0, keepdim=True).clamp_min(torch.finfo(plan.dtype).tiny)
        plan = plan / plan.sum(1, keepdim=True).clamp_min(torch.finfo(plan.dtype).tiny)
    return plan
