"""Every key in Shoal's bucket. Readers elsewhere may rely on this picture.

```
{collection}/
  results/{id[:2]}/{image_id}.json              latest result of one image
  ledger/dt=YYYY-MM-DD/hh=HH/{message_id}.parquet   what was classified; the training data's index
  dead/dt=YYYY-MM-DD/{message_id}.json          messages that could not be done, and why
  models/{version}/                             write-once; manifest.json last
  aliases/{champion,challenger,previous}.json   version, sha256, generation; compare-and-swap
  aliases/moves/{generation}.json               every champion there was, and why; write-once
  clusters.json                                 names and merges given by people; compare-and-swap
  runs/{slot}.json                              one retraining run, created before it starts
```
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from producer.contracts import NAME_PATTERN
from producer.errors import InvalidReference
from producer.ulid import ulid_time

COLLECTION: Final = re.compile(NAME_PATTERN.strip("^$"))
MANIFEST: Final = "manifest.json"
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

    def dead(self, message_id: str, day: datetime) -> str:
        """Where a message that could not be done lies."""
        return f"{self.collection}/dead/{day:dt=%Y-%m-%d}/{message_id}.json"

    def models(self) -> str:
        """Prefix of all versions."""
        return f"{self.collection}/models/"

    def model(self, version: str, file: str) -> str:
        """Where one file of a bundle lies."""
        return f"{self.models()}{version}/{file}"

    def alias(self, name: AliasName) -> str:
        """Where an alias lies."""
        return f"{self.collection}/aliases/{name}.json"

    def alias_move(self, generation: int) -> str:
        """Where it is kept who became champion with this generation, and why."""
        return f"{self.alias_moves()}{generation:08d}.json"

    def alias_moves(self) -> str:
        """Prefix of the champions there were; they sort by generation."""
        return f"{self.collection}/aliases/moves/"

    def cluster_names(self) -> str:
        """Where the names and merges that people gave lie."""
        return f"{self.collection}/clusters.json"

    def run(self, slot: str) -> str:
        """Where the record of one retraining run lies."""
        return f"{self.collection}/runs/{slot}.json"
