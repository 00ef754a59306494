"""Recipes by name: each is an objective over an autoencoder, the same one but for `pretrained`.

- `pixel`: reconstruction only.
- `pure`: reconstruction, and agreement between random views; no outside weights.
- `distilled`: reconstruction, and the features of a frozen teacher.
- `pretrained`: the frozen teacher is the encoder; reconstruction by the decoder alone.
"""

from collections.abc import Mapping
from types import MappingProxyType

from producer.errors import ConfigurationError
from training.recipes.distilled import Distilled
from training.recipes.objective import Batch, Losses, Objective
from training.recipes.pixel import Pixel
from training.recipes.pretrained import Pretrained
from training.recipes.pure import Pure

RECIPES: Mapping[str, type[Objective]] = MappingProxyType(
    {"distilled": Distilled, "pixel": Pixel, "pretrained": Pretrained, "pure": Pure}
)


def recipe(name: str) -> type[Objective]:
    """Give the objective of this name.

    Raises:
        ConfigurationError: there is none; the message lists those there are.
    """
    try:
        return RECIPES[name]
    except KeyError as err:
        raise ConfigurationError(
            f"no recipe is called {name!r}; known: {', '.join(sorted(RECIPES))}"
        ) from err


__all__ = ["RECIPES", "Batch", "Losses", "Objective", "recipe"]
