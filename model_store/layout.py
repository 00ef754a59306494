"""Every key in Shoal's bucket. Readers elsewhere may rely on this picture.

```
{collection}/
  results/{id[:2]}/{image_id}.json              latest result of one image
  ledger/dt=YYYY-MM-DD/hh=HH/{message_id}.parquet   what was classified; the training data's index
  ledger/dt=YYYY-MM-DD/day-{generation}.parquet     the same, compacted: the highest generation counts, and
                                                a message that has a part of its own is read from there
  ledger/compacted.json                         which erased pictures are out of every compacted day
  dead/dt=YYYY-MM-DD/{message_id}.json          messages that could not be done, and why
  models/{version}/                             write-once; manifest.json last
  aliases/{champion,challenger,previous}.json   version, sha256, generation; compare-and-swap
  runs/{slot}.json                              one retraining run, created before it starts
  runs/{slot}/corpus.parquet                    what it reads, while it runs
  runs/{slot}/checkpoint-{attempt}.safetensors  how far it is, while it runs
  drift.json                                    the latest reading, and since when there is an alarm
  tombstones/{image_id}                         this picture was erased
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

    def ledger_day(self, day: str, generation: int) -> str:
        """Where the compacted rows of a day such as `2026-11-24` lie."""
        return f"{self.ledger()}dt={day}/day-{generation:08}.parquet"

    def ledger_state(self) -> str:
        """Where it stands which erased pictures are out of every compacted day."""
        return f"{self.ledger()}compacted.json"

    def tombstones(self) -> str:
        """Prefix of the marks of erased pictures; what follows it is an image id."""
        return f"{self.collection}/tombstones/"

    def drift(self) -> str:
        """Where the latest drift reading lies."""
        return f"{self.collection}/drift.json"

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

    def runs(self) -> str:
        """Prefix of all retraining runs."""
        return f"{self.collection}/runs/"

    def run(self, slot: str) -> str:
        """Where the record of one retraining run lies.

        Raises:
            InvalidReference: the slot's name would lead elsewhere.
        """
        return f"{self._run(slot)}.json"

    def run_file(self, slot: str, name: str) -> str:
        """Where something that belongs to a run lies."""
        return f"{self._run(slot)}/{name}"

    def _run(self, slot: str) -> str:
        if not COLLECTION.fullmatch(slot):
            raise InvalidReference(f"{slot!r} is no name for a run: letters, digits and . _ ~ -")
        return f"{self.runs()}{slot}"
