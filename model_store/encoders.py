"""Encoders by the family that an architecture names."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from model_store.architecture import LITE0, RESIDUAL, Architecture
from model_store.autoencoder import Encoder, ResidualEncoder
from model_store.lite0_encoder import Lite0Encoder

ENCODERS: Final[Mapping[str, type[Encoder]]] = MappingProxyType(
    {RESIDUAL: ResidualEncoder, LITE0: Lite0Encoder}
)


def new_encoder(architecture: Architecture) -> Encoder:
    """Make an encoder of this family and these shapes, with random weights."""
    return ENCODERS[architecture.name](architecture)
