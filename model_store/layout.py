"""Every key in Shoal's bucket. Readers elsewhere may rely on this picture.

```
{collection}/
  results/{id[:2]}/{image_id}.json              latest result of one image
  ledger/dt=YYYY-MM-DD/hh=HH/{message_id}.parquet   what was classified; the training data's index
  dead/dt=YYYY-MM-DD/{message_id}.json          messages that could not be done, and why; by the message's day
  dead/dt=YYYY-MM-DD/{message_id}.raw           the bytes of one that cannot be read, written before its .json
  models/{version}/                             write-once but for manifest.sig; manifest.json last
  aliases/{champion,challenger,previous}.json   version, sha256, generation; compare-and-swap
  runs/{slot}.json                              one retraining run, created before it starts
  sweeps/{name}.json                            how far a sweep of the uploads has come
.shoal/probe/                                   scratch of the start-up probes (exclusion.py)
```
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from producer.contracts import NAME_PATTERN
from producer.errors import InvalidReference
from producer.ulid import PATTERN, ulid_time

COLLECTION: Final = re.compile(NAME_PATTERN.strip("^$"))
ULID: Final = re.compile(PATTERN.strip("^$"))
MANIFEST: Final = "manifest.json"
SCRATCH: Final = ".shoal/probe/"  # which every role may write; no collection's name begins with a dot
AliasName = Literal["champion", "challenger", "previous"]


@dataclass(frozen=True, slots=True)
class Layout:
    """The keys of one collection."""

    collection: str

    def __post_init__(self) -> None:
        """Refuse a name that would lead out of the collection.

        Raises:
            InvalidReference: it is not a collection's name.
        """
        if not COLLECTION.fullmatch(self.collection):
            raise InvalidReference(
                f"{self.collection!r} is no name for a collection: letters, digits and . _ ~ -"
            )

    def result(self, image_id: str) -> str:
        """Where the latest result of an image lies."""
        return f"{self.collection}/results/{image_id[:2]}/{image_id}.json"

    def ledger(self) -> str:
        """Prefix of all ledger parts; they sort by time."""
        return f"{self.collection}/ledger/"

    def ledger_part(self, message_id: str) -> str:
        """Where a message's rows lie: the same for every delivery of it."""
        return f"{self.ledger()}{ulid_time(message_id):dt=%Y-%m-%d/hh=%H}/{message_id}.parquet"

    def dead(self) -> str:
        """Prefix of all messages that could not be done; they sort by day."""
        return f"{self.collection}/dead/"

    def dead_letter(self, message_id: str) -> str:
        """Where a message that could not be done lies: the same for every delivery of it.

        Raises:
            InvalidReference: the id cannot be part of a key.
        """
        if not COLLECTION.fullmatch(message_id):
            raise InvalidReference(f"{message_id!r} cannot be part of a key: letters, digits and . _ ~ -")
        day = f"{ulid_time(message_id):dt=%Y-%m-%d}" if ULID.fullmatch(message_id) else "dt=none"
        return f"{self.dead()}{day}/{message_id}.json"

    def dead_raw(self, message_id: str) -> str:
        """Where the bytes of a message that cannot be read lie."""
        return self.dead_letter(message_id).removesuffix(".json") + ".raw"

    def models(self) -> str:
        """Prefix of all versions."""
        return f"{self.collection}/models/"

    def model(self, version: str, file: str) -> str:
        """Where one file of a bundle lies."""
        return f"{self.models()}{version}/{file}"

    def alias(self, name: AliasName) -> str:
        """Where an alias lies."""
        return f"{self.collection}/aliases/{name}.json"

    def run(self, slot: str) -> str:
        """Where the record of one retraining run lies."""
        return f"{self.collection}/runs/{slot}.json"

    def sweep(self, name: str) -> str:
        """Where the record of one sweep lies."""
        return f"{self.collection}/sweeps/{name}.json"
