"""Every key in Shoal's bucket. Readers elsewhere may rely on this picture.

```
{collection}/
  results/{id[:2]}/{image_id}.json              latest result of one image
  jobs/{job_id}/job.json                        what was submitted, and how far; compare-and-swap
  jobs/{job_id}/part-{message_id}.parquet       results of one message of the bulk lane; see job_part.py
  jobs/{job_id}/index.safetensors  manifest.json    when all parts are whole: which picture is in which part,
                                                then totals and digests; create-only, then compare-and-swap
  ledger/dt=YYYY-MM-DD/hh=HH/{message_id}.parquet   what was classified; the training data's index
  dead/dt=YYYY-MM-DD/{message_id}.json          messages that could not be done, and why; by the message's day
  dead/dt=YYYY-MM-DD/{message_id}.raw           the bytes of one that cannot be read, written before its .json
  ledger/dt=YYYY-MM-DD/day-{generation}.parquet     the same, compacted: the highest generation counts, and
                                                a message that has a part of its own is read from there
  ledger/compacted.json                         which erased pictures are out of every compacted day
  models/{version}/                             write-once but for manifest.sig; manifest.json last, empty if
                                                the version was given up (unfinished.py)
  aliases/{champion,challenger,previous}.json   version, sha256, generation; compare-and-swap
  aliases/moves/{generation}.json               every champion there was, and why; write-once
  clusters.json                                 names and merges given by people; compare-and-swap
  runs/{slot}.json                              one retraining run, created before it starts
  exemplars/{version}.json                      pictures nearest to its clusters' centres, but for erased ones
  tombstones/{image_id}  tombstones.json        erased pictures, which must not come back; the last change
  erasures/{request_id}.json                    what an erasure removed, and from where
  backfills/{generation}.json                   answers renewed after a promotion; compare-and-swap
  runs/{slot}/report.html, *.png                the report of a run, or of a version that no run made (slot:
                                                its version); each names the pictures it shows, for erasure
  runs/{slot}/corpus.parquet                    what it reads, while it runs
  runs/{slot}/checkpoint-{attempt}.safetensors  how far it is, while it runs
  runs/train-{digest}/checkpoint.safetensors    how far a `shoal train` on this corpus with these settings is
  drift.json                                    the latest reading, and since when there is an alarm
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


JOB_PART: Final = re.compile(r"[^/]+/jobs/([^/]+)/part-[^/]+\.parquet")


def job_of_part(key: str) -> str | None:
    """Tell which job a key is a part of; None if it is no part of a job."""
    found = JOB_PART.fullmatch(key)
    return found[1] if found else None


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

    def jobs(self) -> str:
        """Prefix of all jobs."""
        return f"{self.collection}/jobs/"

    def job(self, job_id: str) -> str:
        """Prefix of everything of one job.

        Raises:
            InvalidReference: it is not a job's name.
        """
        if not COLLECTION.fullmatch(job_id):
            raise InvalidReference(f"{job_id!r} is no name for a job: letters, digits and . _ ~ -")
        return f"{self.jobs()}{job_id}/"

    def job_parts(self, job_id: str) -> str:
        """Prefix of a job's parts."""
        return f"{self.job(job_id)}part-"

    def job_part(self, job_id: str, message_id: str) -> str:
        """Where the results of one message of a job lie: the same for every delivery of it."""
        return f"{self.job_parts(job_id)}{message_id}.parquet"

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

    def models(self) -> str:
        """Prefix of all versions."""
        return f"{self.collection}/models/"

    def model(self, version: str, file: str) -> str:
        """Where one file of a bundle lies."""
        return f"{self.models()}{version}/{file}"

    def exemplars(self, version: str) -> str:
        """Where the pictures nearest to the centres of a version's clusters are named."""
        return f"{self.all_exemplars()}{version}.json"

    def all_exemplars(self) -> str:
        """Prefix of the exemplars of all versions."""
        return f"{self.collection}/exemplars/"

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

    def tombstone(self, image_id: str) -> str:
        """Where it stands that an image was erased."""
        return f"{self.tombstones()}{image_id}"

    def tombstones_changed(self) -> str:
        """What changes whenever tombstones are set."""
        return f"{self.collection}/tombstones.json"

    def erasures(self) -> str:
        """Prefix of the records of erasures."""
        return f"{self.collection}/erasures/"

    def erasure(self, request_id: str) -> str:
        """Where the record of one erasure lies."""
        return f"{self.erasures()}{request_id}.json"

    def backfill(self, generation: int) -> str:
        """Where the state of the backfill after one move of the champion lies."""
        return f"{self.collection}/backfills/{generation}.json"

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

    def sweep(self, name: str) -> str:
        """Where the record of one sweep lies."""
        return f"{self.collection}/sweeps/{name}.json"
