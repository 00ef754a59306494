"""Signed bundles: `manifest.sig`, the 64 raw bytes of an Ed25519 signature over `manifest.json` as stored.

The manifest holds a sha256 of every file, so one signature covers the bundle. Whoever can write to the bucket
can exchange files, manifest and alias together; without the private key not the signature. OpenSSL makes
and checks the same files (`docs/signed-models.md`).
"""

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from producer.errors import BundleInvalid, ConfigurationError

SIGNATURE: Final = "manifest.sig"
KEY_BYTES: Final = 32


class Signer:
    """The private key that new versions are signed with."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> Self:
        """Make a new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_file(cls, path: Path | None) -> Self | None:
        """Read a private key (PEM, PKCS #8, without a passphrase); None where no file is set.

        Raises:
            ConfigurationError: the file cannot be read, or holds something else.
        """
        if path is None:
            return None
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except OSError as error:
            raise ConfigurationError(
                f"the signing key {path} cannot be read: {error.strerror}; correct "
                "SHOAL_TRAINING__SIGNING_KEY_FILE, or make a key with `shoal models keygen`"
            ) from error
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigurationError(
                f"{path} holds no Ed25519 private key in PEM without a passphrase: correct "
                "SHOAL_TRAINING__SIGNING_KEY_FILE, or make a key with `shoal models keygen`"
            )
        return cls(key)

    @property
    def public_key(self) -> str:
        """Give the public half as `SHOAL_STORE__TRUSTED_KEYS` takes it."""
        return base64.b64encode(self._key.public_key().public_bytes_raw()).decode()

    def to_pem(self) -> str:
        """Write the private key as the file that `from_file` reads. A secret."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def sign(self, manifest: bytes) -> bytes:
        """Give the contents of `manifest.sig`."""
        return self._key.sign(manifest)


class TrustedKeys:
    """The public keys of which one must have signed a model; with none pinned, every model is trusted."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        """Read keys: the 32 bytes of each in base64.

        Raises:
            ValueError: one is something else.
        """
        self._keys = [Ed25519PublicKey.from_public_bytes(_decoded(key)) for key in keys]

    def __bool__(self) -> bool:
        """Tell whether keys are pinned."""
        return bool(self._keys)

    def check(self, version: str, manifest: bytes, signature: bytes | None) -> None:
        """Pass a manifest that one of the keys has signed, or any where no keys are pinned.

        Raises:
            BundleInvalid: there is no signature, or none of the keys made it.
        """
        if not self._keys:
            return
        if signature is None:
            raise BundleInvalid(
                f"version {version} lacks {SIGNATURE}, and SHOAL_STORE__TRUSTED_KEYS asks for it: publish "
                "with SHOAL_TRAINING__SIGNING_KEY_FILE, or `shoal models sign` it if you trust it"
            )
        if not any(_made_by(key, manifest, signature) for key in self._keys):
            raise BundleInvalid(
                f"{SIGNATURE} of version {version} is not a signature of its manifest by one of "
                "SHOAL_STORE__TRUSTED_KEYS"
            )


ANYBODY: Final = TrustedKeys()


def _decoded(key: str) -> bytes:
    try:
        raw = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise ValueError(f"{key!r} is not the base64 of an Ed25519 public key, {KEY_BYTES} bytes")
    return raw


def _made_by(key: Ed25519PublicKey, manifest: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, manifest)
    except InvalidSignature:
        return False
    return True
