"""What a worker is told."""

from pydantic import BaseModel, ConfigDict, Field

from model_store.process_settings import ProcessSettings


class WorkerSettings(BaseModel):
    """How much one worker process takes on. One process per GPU."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto: cuda where there is one"
    )
    threads: int = Field(4, gt=0, description="bulk messages in work at once, up to 256 pictures each")
    interactive_threads: int = Field(
        8,
        ge=0,
        description="further messages in work at once, none of them bulk",
    )
    decode_processes: int | None = Field(
        None,
        gt=0,
        description="pictures decoded at once, each in a process that may die; unset: one per core",
    )
    decode_cpu_s: float = Field(30.0, gt=0, description="CPU time for one picture; none seen took over 2")
    held_back_to: int = Field(
        8,
        gt=0,
        description="requests of a bulk message's pictures at once, in a pause of single uploads of under a "
        "quarter of a second; none while one is in work, for two thirds of the time at most. More where the "
        "store is far away and single uploads never cease",
    )
    max_batch: int = Field(1024, gt=0, description="most pictures in one pass of the device")
    max_image_bytes: int = Field(20 * 1024 * 1024, gt=0, description="larger uploads are rejected unread")
    bytes_in_flight: int = Field(
        256 * 1024 * 1024,
        gt=0,
        description="half for files fetched and not yet decoded, half for pictures decoded and not yet "
        "predicted; what does not fit waits. A quarter of each is for single uploads",
    )
    model_poll_s: float = Field(2.0, gt=0, description="between looks at the champion")
    startup_timeout_s: float = Field(60.0, gt=0, description="to find broker, store and buckets")
    model_wait_s: float = Field(
        10.0, gt=0, description="a message holds a thread this long for a first model"
    )
    model_patience_s: float = Field(
        86_400.0,
        gt=0,
        description="a message waits about this long for a first model, then its pictures fail",
    )
    max_attempts: int = Field(20, gt=0, description="of a message, before its unread pictures fail")
    max_backoff_s: float = Field(30.0, gt=0, description="longest pause between attempts")
    witness_after_s: float = Field(
        10.0, ge=0, description="a worker younger than this is not trusted with a picture's last chance"
    )
    stall_limit_s: float = Field(
        120.0, gt=0, description="messages wait and none is taken for this long: the worker ends, status 75"
    )
    message_limit_s: float = Field(
        600.0, gt=0, description="a message in work for longer hangs: the worker ends, status 75"
    )
    drain_timeout_s: float = Field(
        25.0, gt=0, description="after SIGTERM, to finish what is in work; the rest is given back"
    )
    memory_mark_bytes: int | None = Field(
        None,
        gt=0,
        description="resident memory at which the worker drains and ends, status 0, to be started again",
    )
    health_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="for /healthz, /readyz and /metrics by HTTP; unset: none, 0: any free one",
    )
    health_host: str = Field("127.0.0.1", description="where they answer; 0.0.0.0 in a container of its own")


class Settings(ProcessSettings):
    """Everything a worker process is told."""

    worker: WorkerSettings = Field(default_factory=WorkerSettings)
