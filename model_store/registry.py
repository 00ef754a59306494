"""Published versions and the aliases that point at them.

Parts, then record, then pointer: a version's files, then its manifest (create-only), then the alias
(compare-and-swap). A reader sees the old version or the new, never neither and never half of one.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import structlog

from model_store.alias import Alias, Target
from model_store.aliases import Aliases
from model_store.bundle_files import DECODER, EXEMPLARS, REFERENCE, SERVING_FILES
from model_store.late_erasures import heed_erasures, keep_exemplars
from model_store.layout import MANIFEST, AliasName, Layout
from model_store.manifest import Manifest, sha256
from model_store.object_store import Get, ObjectStore, StoredObject
from model_store.signature import ANYBODY, SIGNATURE, Signer, TrustedKeys
from model_store.unfinished import completes
from producer.errors import BundleInvalid, NoChampion, ObjectNotFound, ShoalError

if TYPE_CHECKING:
    from model_store.bundle import Bundle

__all__ = ["Alias", "Registry", "Target"]

log = structlog.get_logger(__name__)


class Registry:
    """The models of one collection; where keys are pinned, only what one of them signed is taken."""

    def __init__(
        self,
        store: ObjectStore,
        collection: str,
        *,
        trusted: TrustedKeys = ANYBODY,
        signer: Signer | None = None,
    ) -> None:
        """Check what is read with the keys `trusted`; sign what is published with `signer`."""
        self._store = store
        self._layout = Layout(collection)
        self._aliases = Aliases(store, collection)
        self._trusted = trusted
        self._signer = signer
        self.collection = collection

    def publish(
        self,
        manifest: Manifest,
        files: Mapping[str, bytes],
        *,
        confirm: Callable[[], object] | None = None,
    ) -> Target:
        """Store a version for good. It serves nobody until an alias points at it.

        What it would name of pictures erased meanwhile is left out, and their erasures name the version.

        Args:
            manifest: of the version.
            files: all that it lists.
            confirm: called when only the manifest is missing; if it raises, no version appears.

        Raises:
            PreconditionFailed: the version exists already.
            BundleInvalid: `files` are not the ones the manifest describes, or would not be trusted here.
        """
        for name in manifest.files:
            manifest.verify(name, files.get(name))
        data = manifest.to_bytes()
        signature = self._signer.sign(data) if self._signer else None
        self._trusted.check(manifest.version, data, signature)
        parts = {self._layout.model(manifest.version, name): files[name] for name in manifest.files}
        if signature is not None:
            parts[self._layout.model(manifest.version, SIGNATURE)] = signature
        for outcome in self._store.put_many(parts, create_only=True).values():
            if isinstance(outcome, ShoalError):
                raise outcome
        if EXEMPLARS in files:
            keep_exemplars(self._store, self.collection, manifest.version, files[EXEMPLARS])
        if confirm is not None:
            confirm()
        self._store.put(self._layout.model(manifest.version, MANIFEST), data, create_only=True)
        heed_erasures(self._store, self.collection, manifest.version, files.get(REFERENCE))
        return Target(version=manifest.version, sha256=sha256(data))

    def sign(self, named: str | Target, signer: Signer) -> None:
        """Sign a version that was published without a signature, or with another key's.

        Args:
            named: published earlier; a target's manifest must have its sha256.
            signer: whose key signs.

        Raises:
            ObjectNotFound: no such version; says which there are.
            BundleInvalid: its manifest has another sha256.
        """
        version, data = self._manifest_bytes(named)
        self._store.put(self._layout.model(version, SIGNATURE), signer.sign(data))

    def versions(self) -> Iterator[Manifest]:
        """List what is published and can be read by this version of Shoal, oldest first."""
        for key in [info.key for info in self._store.list(self._layout.models()) if completes(info)]:
            try:
                yield Manifest.from_bytes(self._store.get(key).data)
            except BundleInvalid as error:  # of a newer Shoal, beside which this one still runs
                log.warning("a version is passed over", key=key, reason=str(error))

    def manifest(self, named: str | Target) -> tuple[Manifest, Target]:
        """Read one version's description; a target's must have its sha256.

        Raises:
            ObjectNotFound: no such version; says which there are.
            BundleInvalid: it cannot be read or has another sha256, or keys are pinned and none signed it.
        """
        version, data = self._manifest_bytes(named)
        return self._checked(version, data), Target(version=version, sha256=sha256(data))

    def alias(self, name: AliasName) -> Alias | None:
        """Read an alias; None if it was never set."""
        return self._aliases.get(name)

    def current(self) -> Alias:
        """Read the champion.

        Raises:
            NoChampion: nothing was promoted yet.
        """
        alias = self.alias("champion")
        if alias is None:
            raise NoChampion(f"collection {self.collection} has no model yet: train one with `shoal train`")
        return alias

    def promote(
        self, named: str | Target, *, reason: str = "", expected_generation: int | None = None
    ) -> Alias:
        """Make a version the champion.

        Args:
            named: published earlier; a target's manifest must have its sha256.
            reason: kept in the alias.
            expected_generation: only if the champion still has this one (0: only if there is none).

        Raises:
            ObjectNotFound, BundleInvalid: no such version, or it is not what it was or not trusted.
            PreconditionFailed: somebody else promoted meanwhile.
        """
        _, target = self.manifest(named)
        return self._aliases.move_champion(target, reason, expected_generation)

    def rollback(self, *, reason: str = "rollback") -> Alias:
        """Make the champion's predecessor the champion again. Rolling back twice is refused: it led forward.

        Raises:
            NoChampion: there is none, or it has no predecessor.
            ObjectNotFound, BundleInvalid: its predecessor is gone, not what it was, or not trusted.
            PreconditionFailed: somebody else promoted meanwhile.
        """
        champion = self.current()
        if champion.previous is None:
            raise NoChampion(
                f"the champion {champion.version} has nothing to go back to: promote a version by its name"
            )
        self.manifest(champion.previous)  # refused here rather than by every worker
        return self._aliases.move_champion(champion.previous, reason, champion.generation, back=True)

    def moves(self) -> Iterator[Alias]:
        """List every champion there was, oldest first, each with the reason why it became one."""
        return self._aliases.moves()

    def set_challenger(self, target: Target, *, reason: str) -> None:
        """Point `challenger` at a version that was published and not promoted."""
        self._aliases.set_challenger(target, reason)

    def load(self, target: Target, device: str) -> "Bundle":
        """Fetch, verify, build and probe a version.

        Raises:
            BundleInvalid: it may not serve; says which file or why.
        """
        files = self._files(target.version, (MANIFEST, *SERVING_FILES))
        if sha256(files[MANIFEST]) != target.sha256:
            raise BundleInvalid(f"{MANIFEST} of version {target.version} is not the one that was promoted")
        self._checked(target.version, files[MANIFEST])
        from model_store.bundle import load_bundle  # noqa: PLC0415 - brings torch; most commands load no model

        return load_bundle(files[MANIFEST], files, target.sha256, device)

    def file(self, named: str | Target, name: str) -> bytes:
        """Read one verified file of a version, such as the decoder."""
        manifest, target = self.manifest(named)
        return manifest.verify(name, self._files(target.version, (name,))[name])

    def decoder(self, version: str) -> bytes:
        """Read the decoder's weights, verified."""
        return self.file(version, DECODER)

    def _manifest_bytes(self, named: str | Target) -> tuple[str, bytes]:
        version = named if isinstance(named, str) else named.version
        with contextlib.suppress(ObjectNotFound):
            if data := self._store.get(self._layout.model(version, MANIFEST)).data:  # see unfinished.py
                if isinstance(named, Target) and named.sha256 != sha256(data):
                    raise BundleInvalid(f"{MANIFEST} of version {version} is not the one that was promoted")
                return version, data
        known = ", ".join(manifest.version for manifest in self.versions()) or "none"
        raise ObjectNotFound(f"no version {version} in collection {self.collection}; there are: {known}")

    def _checked(self, version: str, data: bytes) -> Manifest:
        """Read a manifest; where keys are pinned, only one that was signed, and for this place."""
        if not self._trusted:
            return Manifest.from_bytes(data)
        try:
            signature = self._store.get(self._layout.model(version, SIGNATURE)).data
        except ObjectNotFound:
            signature = None
        self._trusted.check(version, data, signature)
        return Manifest.from_bytes(data).published_as(version, self.collection)

    def _files(self, version: str, names: tuple[str, ...]) -> dict[str, bytes]:
        gets = [Get(self._layout.model(version, name)) for name in names]
        files: dict[str, bytes] = {}
        for position, found in self._store.get_many(gets):
            if isinstance(found, ObjectNotFound):
                raise BundleInvalid(f"version {version} lacks {names[position]}") from found
            if not isinstance(found, StoredObject):
                raise found
            files[names[position]] = found.data
        return files
