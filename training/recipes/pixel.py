"""`pixel`: reconstruction only, the reference that the other recipes are measured against."""

from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from model_store.autoencoder import to_images
from training.recipes.objective import Batch, Losses, Objective


class Pixel(Objective):
    """Draw the picture again from its embedding; mean squared error of pixels in [0, 1]."""

    def forward(self, batch: Batch) -> Losses:
        """Give `reconstruction`, which is also the `total`."""
        images = to_images(batch.pixels)
        reconstruction = F.mse_loss(self.decoder(self.encoder(images)).float(), images)
        return {"total": reconstruction, "reconstruction": reconstruction}
