"""What travels and what is answered: frozen, versioned, JSON.

`ClassifyImages` is the message (Celery task `shoal.classify.v1`, its fields are the task's keyword
arguments), `Result` is the answer for one picture. Readers ignore fields that they do not know, so a
field may be added without a new version; a field that changes its meaning needs one.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from producer.ulid import PATTERN, new_ulid

MAX_IMAGES_PER_MESSAGE = 256
MAX_MESSAGE_BYTES = 64 * 1024
MAX_KEY_BYTES = 1024  # S3's own limit
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$"

Lane = Literal["interactive", "bulk"]
Status = Literal["assigned", "unknown", "rejected", "failed"]
ErrorCode = Literal[
    "fetch.not_found",
    "fetch.denied",
    "fetch.changed",
    "fetch.too_large",
    "decode.empty",
    "decode.unsupported",
    "decode.corrupt",
    "decode.too_many_pixels",
    "decode.too_many_scans",
    "decode.bad_dimensions",
    "model.unavailable",
    "message.expired",
    "internal",
]


def _at_most_a_key(key: str) -> str:
    if len(key.encode()) > MAX_KEY_BYTES:
        raise ValueError(f"an object key has at most {MAX_KEY_BYTES} bytes of UTF-8")
    return key


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# These become parts of keys in the bucket, hence the narrow alphabet.
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Key = Annotated[str, StringConstraints(min_length=1), AfterValidator(_at_most_a_key)]
HeaderText = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,1024}$")]  # goes into a request
Moment = Annotated[datetime, AfterValidator(_in_utc)]  # without an offset it is taken for UTC
MessageId = Annotated[str, StringConstraints(pattern=PATTERN)]


class Contract(BaseModel):
    """Base of all contracts: frozen, and deaf to fields of later versions."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ImageRef(Contract):
    """Where one uploaded picture lies, and what it is called."""

    image_id: Name
    bucket: Name = Field(description="a bucket that the worker's settings allow, never a URL")
    key: Key
    version_id: HeaderText | None = Field(None, description="this version of the object, if given")
    etag: HeaderText | None = Field(None, description="reject with fetch.changed if it differs")
    allow_training: bool = Field(True, description="false keeps the picture out of every retraining")


class Whole(Contract):
    """The message that another was taken from: what it leaves counts as left by the whole one."""

    message_id: MessageId
    pictures: int = Field(gt=0, le=MAX_IMAGES_PER_MESSAGE, description="different ones in it")


class ClassifyImages(Contract):
    """One message: up to 256 references to be classified in one collection."""

    schema_version: Literal[1] = 1
    message_id: MessageId = Field(default_factory=new_ulid)
    collection: Name = "default"
    lane: Lane = "interactive"
    submitted_at: Moment = Field(default_factory=lambda: datetime.now(UTC))
    job_id: Name | None = None
    traceparent: str | None = Field(None, max_length=256)
    expires_at: Moment | None = Field(None, description="not done later than this: `message.expired`")
    reclassify: bool = Field(
        False, description="renews results: a picture that can no longer be read keeps the one it has"
    )
    images: tuple[ImageRef, ...] = Field(min_length=1, max_length=MAX_IMAGES_PER_MESSAGE)
    signature: str | None = Field(None, max_length=256, description="see `producer.signing`")
    part_of: Whole | None = Field(None, description="set by workers, on messages that they take apart")

    @property
    def whole(self) -> Whole:
        """The message itself, or the one that it was taken from."""
        different = len({ref.image_id for ref in self.images})
        return self.part_of or Whole(message_id=self.message_id, pictures=different)


class Cluster(Contract):
    """The cluster that a picture was given. Key on `id`; `index` is private to one model version.

    Where people merged the model's own cluster into another, `id` and `name` are the other's, and
    `assigned_id` is the model's own.
    """

    id: str
    name: str | None = None
    index: int
    assigned_id: str | None = None


class Alternative(Contract):
    """A cluster that came near."""

    id: str
    distance: float


class ModelStamp(Contract):
    """The model that answered; `generation` grows by one with every promotion or rollback."""

    version: str
    sha256: str
    generation: int


class Input(Contract):
    """What was really read from the uploads bucket."""

    etag: str | None
    sha256: str
    width: int
    height: int
    format: str


class TimingMs(Contract):
    """Milliseconds spent per stage; `queued` is from submission to the worker's taking it."""

    queued: float
    fetch: float
    decode: float
    predict: float


class Failure(Contract):
    """Why a picture was rejected or failed."""

    code: ErrorCode
    detail: str


class Result(Contract):
    """The one visible outcome of one picture.

    `distance` and `margin` (second nearest minus nearest) are Euclidean, in PCA space. `typicality` in
    [0, 1] is the share of the cluster's own pictures that lie farther out.
    """

    schema_version: Literal[1] = 1
    image_id: Name
    collection: Name
    status: Status
    cluster: Cluster | None = None
    distance: float | None = None
    margin: float | None = None
    typicality: float | None = None
    alternatives: tuple[Alternative, ...] = ()
    model: ModelStamp | None = None
    input: Input | None = None
    timing_ms: TimingMs | None = None
    batch_size: int | None = None
    attempt: int = 1
    error: Failure | None = None
    message_id: MessageId
    classified_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
