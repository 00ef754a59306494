import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from pydantic import ValidationError

from model_store.settings import StoreSettings
from model_store.signature import ANYBODY, Signer, TrustedKeys
from producer.errors import BundleInvalid, ConfigurationError

MANIFEST = b'{"version": "v1"}'


def test_what_one_of_the_pinned_keys_signed_is_trusted() -> None:
    old, new = Signer.generate(), Signer.generate()
    trusted = TrustedKeys([new.public_key, old.public_key])

    for signer in (old, new):
        trusted.check("v1", MANIFEST, signer.sign(MANIFEST))
    with pytest.raises(BundleInvalid, match=r"manifest\.sig of version v1 is not a signature"):
        trusted.check("v1", MANIFEST, Signer.generate().sign(MANIFEST))


def test_every_bit_of_manifest_and_signature_counts() -> None:
    signer = Signer.generate()
    trusted, signature = TrustedKeys([signer.public_key]), signer.sign(MANIFEST)

    for place in range(8 * len(MANIFEST)):
        with pytest.raises(BundleInvalid):
            trusted.check("v1", flipped(MANIFEST, place), signature)
    for place in range(8 * len(signature)):
        with pytest.raises(BundleInvalid):
            trusted.check("v1", MANIFEST, flipped(signature, place))


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("signature", [None, b"", b"x", b"x" * 64, b"x" * 1000])
def test_no_signature_is_none(signature: bytes | None) -> None:
    with pytest.raises(BundleInvalid, match=r"manifest\.sig"):
        TrustedKeys([Signer.generate().public_key]).check("v1", MANIFEST, signature)


def test_without_pinned_keys_everything_is_trusted() -> None:
    assert not ANYBODY
    ANYBODY.check("v1", MANIFEST, None)


def test_a_key_file_gives_the_key_back(tmp_path: Path) -> None:
    signer = Signer.generate()
    (tmp_path / "key.pem").write_text(signer.to_pem())

    read = Signer.from_file(tmp_path / "key.pem")

    assert read is not None
    assert read.public_key == signer.public_key
    assert Signer.from_file(None) is None


def test_a_file_that_holds_no_usable_key_is_refused_by_its_setting(tmp_path: Path) -> None:
    secret, other = Signer.generate(), generate_private_key(SECP256R1())
    encrypted = secret._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    file = tmp_path / "key.pem"
    for content in (
        b"",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        encrypted,
        other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        secret.public_key.encode(),
    ):
        file.write_bytes(content)
        with pytest.raises(ConfigurationError, match="SHOAL_TRAINING__SIGNING_KEY_FILE"):
            Signer.from_file(file)
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        Signer.from_file(tmp_path / "absent.pem")


@pytest.mark.parametrize("key", ["", "x", "&" * 44, base64.b64encode(b"x" * 31).decode(), "é" * 44])
def test_a_pinned_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match="is not the base64 of an Ed25519 public key"):
        StoreSettings(trusted_keys=(key,))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_openssl_signs_and_checks_the_same_files(tmp_path: Path) -> None:
    def openssl(*arguments: str) -> bytes:
        done = subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)  # noqa: S607
        return done.stdout

    openssl("genpkey", "-algorithm", "ed25519", "-out", "key.pem")
    signer = Signer.from_file(tmp_path / "key.pem")
    assert signer is not None
    der = openssl("pkey", "-in", "key.pem", "-pubout", "-outform", "DER")
    assert base64.b64encode(der[-32:]).decode() == signer.public_key

    (tmp_path / "manifest.json").write_bytes(MANIFEST)
    (tmp_path / "ours.sig").write_bytes(signer.sign(MANIFEST))
    openssl("pkey", "-in", "key.pem", "-pubout", "-out", "public.pem")
    with_key = ("-pubin", "-inkey", "public.pem", "-rawin", "-in", "manifest.json")
    openssl("pkeyutl", "-verify", *with_key, "-sigfile", "ours.sig")
    openssl("pkeyutl", "-sign", "-inkey", "key.pem", "-rawin", "-in", "manifest.json", "-out", "theirs.sig")
    TrustedKeys([signer.public_key]).check("v1", MANIFEST, (tmp_path / "theirs.sig").read_bytes())
