"""A worker with pinned keys, a trainer with the private one, and somebody who can write to the bucket."""

import json
import subprocess
import sys

import pytest

from model_store.layout import MANIFEST, Layout
from model_store.manifest import sha256
from model_store.registry import Registry
from model_store.signature import SIGNATURE
from tests.system.running_platform import Platform, wait_until
from tests.system.test_retraining import answered_by, retrain, runs
from tests.system.tiny_retraining import RETRAINED


def shoal(platform: Platform, *arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", "console.cli", *arguments]
    done = subprocess.run(
        command,
        env=platform.environment(**environment),
        cwd=platform.workdir,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def keys(platform: Platform) -> dict[str, str]:
    """The environment of a trainer that signs, and of workers that trust it."""
    made = json.loads(shoal(platform, "models", "keygen", "key.pem", "--json"))
    file = platform.workdir / made["private_key_file"]
    assert file.stat().st_mode & 0o777 == 0o600
    return {
        "SHOAL_TRAINING__SIGNING_KEY_FILE": str(file),
        "SHOAL_STORE__TRUSTED_KEYS": json.dumps([made["public_key"]]),
    }


def test_a_forged_champion_serves_nobody_and_a_signed_one_does(
    platform: Platform, keys: dict[str, str]
) -> None:
    registry = Registry(platform.store, platform.collection)
    first = platform.promote_tiny_model()
    shoal(platform, "models", "sign", "champion", "--collection", platform.collection, **keys)
    refs = platform.upload_kinds("signed", 100)
    with platform.running("worker", "worker ready", **keys) as log:
        assert answered_by(platform, refs) == {first}

        forged = platform.promote_tiny_model(seed=1)  # all digests right, in the alias too
        wait_until(lambda: f"version {forged} lacks manifest.sig" in log.read_text(), 60, "it is refused")
        steal_signature(platform, first, forged)
        registry.promote(first)  # so that the next move is a new generation, looked at at once
        registry.promote(forged)
        wait_until(lambda: "manifest.sig of version" in log.read_text(), 60, "it is refused again")
        assert answered_by(platform, refs) == {first}

        registry.promote(first)
        with platform.running("trainer", "trainer ready", **RETRAINED, **keys) as trainers_log:
            retrain(platform)
            wait_until(lambda: "run ended" in trainers_log.read_text(), 120, "the run")
        retrained = runs(platform)[0].version
        assert retrained is not None, trainers_log.read_text()
        shoal(platform, "models", "promote", retrained, "--collection", platform.collection, **keys)
        wait_until(lambda: answered_by(platform, refs[:1]) == {retrained}, 60, "the worker swaps")


def steal_signature(platform: Platform, signed: str, forged: str) -> None:
    layout = Layout(platform.collection)
    signature = platform.store.get(layout.model(signed, SIGNATURE)).data
    platform.store.put(layout.model(forged, SIGNATURE), signature)


def test_people_cannot_promote_what_is_not_signed(platform: Platform, keys: dict[str, str]) -> None:
    version = platform.promote_tiny_model()
    data = platform.store.get(Layout(platform.collection).model(version, MANIFEST)).data
    arguments = ("models", "promote", version, "--collection", platform.collection)

    with pytest.raises(AssertionError, match=r"lacks manifest\.sig.*shoal models sign"):
        shoal(platform, *arguments, **keys)
    shoal(platform, "models", "sign", version, "--collection", platform.collection, **keys)

    shoal(platform, *arguments, **keys)
    assert Registry(platform.store, platform.collection).current().sha256 == sha256(data)


def test_signing_by_an_alias_names_the_version_and_refuses_what_was_exchanged_since(
    platform: Platform, keys: dict[str, str]
) -> None:
    version = platform.promote_tiny_model()
    manifest = Layout(platform.collection).model(version, MANIFEST)
    platform.store.put(manifest, platform.store.get(manifest).data + b"\n")

    with pytest.raises(AssertionError, match=rf"(?s)signing {version}\n.*is not the one that was promoted"):
        shoal(platform, "models", "sign", "champion", "--collection", platform.collection, **keys)


def test_a_key_file_is_never_overwritten(platform: Platform, keys: dict[str, str]) -> None:
    before = (platform.workdir / "key.pem").read_bytes()
    with pytest.raises(AssertionError, match=r"no key can be written to key\.pem: File exists"):
        shoal(platform, "models", "keygen", "key.pem")
    assert (platform.workdir / "key.pem").read_bytes() == before
