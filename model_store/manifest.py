"""A bundle's description: what it is made of, how it came about, and how each file is recognised."""

import hashlib
import re
from datetime import UTC, datetime
from importlib.metadata import version as library_version
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from model_store.architecture import Architecture
from model_store.decode import Preprocess
from producer.contracts import Name
from producer.errors import BundleInvalid
from producer.ulid import new_ulid

FORMAT_VERSION: Final = 2  # since 2 `unknown` also goes by what the PCA leaves: decisions/0010
LIBRARIES: Final = ("torch", "numpy", "scikit-learn", "Pillow", "safetensors")
Version = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class Part(BaseModel):
    """Base of what a manifest is made of; fields of later versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class FileEntry(Part):
    """How a file is recognised."""

    sha256: str
    size_bytes: int


class Snapshot(Part):
    """What it was trained on."""

    source: str = Field(description="folder, npy, or ledger")
    digest: str = Field(description="sha256 over everything that was taken")
    n_images: int
    n_rejected: int = 0
    n_duplicates: int = 0
    n_near_duplicates: int = 0
    oldest: datetime | None = Field(None, description="when the first of them was first classified, if known")
    newest: datetime | None = Field(None, description="when the last of them was first classified, if known")


class Gate(Part):
    """One question asked before promotion, and its answer in words."""

    name: str
    passed: bool
    reason: str


class Manifest(Part):
    """`manifest.json`; its own sha256 stands in the alias, so trust starts there."""

    format_version: Literal[1, 2] = FORMAT_VERSION
    version: Version
    collection: Name
    created_at: datetime
    recipe: str
    architecture: Architecture
    preprocess: Preprocess
    embedding_dim: int
    n_components: int
    n_clusters: int
    random_state: int
    libraries: dict[str, str]
    parent: str | None = Field(None, description="version of the champion when this was trained")
    snapshot: Snapshot
    metrics: dict[str, float]
    gates: tuple[Gate, ...] = ()
    floor: dict[str, float] = Field(
        default_factory=dict, description="best figures of its forebears, since a person overruled the gates"
    )
    probe_tolerance: float = Field(description="largest allowed difference of a distance or projection")
    files: dict[str, FileEntry]

    def to_bytes(self) -> bytes:
        """Write it as the file."""
        return self.model_dump_json(indent=1).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Manifest":
        """Read the file.

        Raises:
            BundleInvalid: not JSON, a field is missing, or a newer format.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            fields = ", ".join(sorted({".".join(map(str, e["loc"])) or "the whole" for e in error.errors()}))
            raise BundleInvalid(f"manifest.json cannot be read by this version of Shoal: {fields}") from error

    def published_as(self, version: str, collection: str) -> Self:
        """Pass if it describes this version; one that was signed for another place is worth nothing here.

        Raises:
            BundleInvalid: it describes another version, or one of another collection.
        """
        if (self.version, self.collection) != (version, collection):
            raise BundleInvalid(
                f"manifest.json of version {version} of collection {collection} is that of version "
                f"{self.version} of collection {self.collection}"
            )
        return self

    def verify(self, name: str, data: bytes | None) -> bytes:
        """Pass a file's bytes through if they are the ones described.

        Raises:
            BundleInvalid: the file is not listed, missing or altered; says which.
        """
        entry = self.files.get(name)
        if entry is None:
            raise BundleInvalid(f"version {self.version} lists no {name}")
        if data is None:
            raise BundleInvalid(f"version {self.version} lacks {name}")
        if len(data) != entry.size_bytes or sha256(data) != entry.sha256:
            raise BundleInvalid(f"{name} of version {self.version} is not the file that was published")
        return data


def sha256(data: bytes) -> str:
    """Give the digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def new_version(now: datetime | None = None) -> str:
    """Name a version: its time in UTC, then a little chance; versions sort by time."""
    moment = now or datetime.now(UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{new_ulid()[-6:].lower()}"


def libraries() -> dict[str, str]:
    """Tell the versions of the libraries that decide a model's numbers."""
    return {name: re.sub(r"\+.*", "", library_version(name)) for name in LIBRARIES}
