"""The life of a video as data: the events, what each carries, and which may follow which."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from functions.shared.timestamps import parse_rfc3339
from functions.shared.video.requests import RemixedRequest, ResolvedRequest

MAX_ATTEMPTS: Final = 3


class EventName(StrEnum):
    """What can be said about a video; the last token of the event's subject."""

    REQUESTED = "requested"
    STARTED = "started"
    PROGRESSED = "progressed"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DELETED = "deleted"

    @property
    def type(self) -> str:
        """The CloudEvent's `type`."""
        return f"dev.kinora.video.{self}.v1"


E = EventName
RUNNING: Final = frozenset({E.STARTED, E.PROGRESSED})
TERMINAL: Final = frozenset({E.COMPLETED, E.FAILED, E.CANCELLED, E.DELETED})

# What may follow each event; None stands for a video of which only the request exists.
TRANSITIONS: Final[dict[EventName | None, frozenset[EventName]]] = {
    None: frozenset({E.STARTED, E.FAILED, E.CANCELLED, E.DELETED}),
    E.STARTED: RUNNING | TERMINAL,
    E.PROGRESSED: RUNNING | TERMINAL,
    E.COMPLETED: frozenset({E.DELETED}),
    E.FAILED: frozenset({E.DELETED}),
    E.CANCELLED: frozenset({E.DELETED}),
    E.DELETED: frozenset(),
}


class State(StrEnum):
    """The states that the HTTP API shows; strict OpenAI clients know no others."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"


STATE_OF: Final[dict[EventName | None, State]] = {
    None: State.QUEUED,
    E.STARTED: State.IN_PROGRESS,
    E.PROGRESSED: State.IN_PROGRESS,
    E.COMPLETED: State.COMPLETED,
    E.FAILED: State.FAILED,
    E.CANCELLED: State.FAILED,
}


class _Data(BaseModel):
    # Later versions of an event may carry more; a reader of today passes over it.
    model_config = ConfigDict(frozen=True, extra="ignore")


def _is_timestamp(text: str) -> str:
    # Later than this, nanoseconds since the epoch leave the 64 bits that databases have for them.
    if parse_rfc3339(text) >= 1 << 63:
        raise ValueError("lies too far in the future")
    return text


Timestamp = Annotated[str, AfterValidator(_is_timestamp)]


class Lease(_Data):
    """Whose turn it is to work on the video, and for how long without another sign of life."""

    id: str = Field(description="128 random bits in hex: the attempt's own name.")
    seconds: float = Field(
        ge=0, description="Counted from the event's JetStream timestamp; 0 gives the video back."
    )


class Failure(_Data):
    """Why a video, or one attempt at it, failed."""

    code: str = Field(description="For programs, such as `out_of_memory`.")
    message: str = Field(description="For people: what happened, and the remedy.")


class Output(_Data):
    """The files of a completed video."""

    prefix: str = Field(description="What the objects' names start with, in the bucket.")
    bytes: int = Field(description="Size of video.mp4.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Digest of video.mp4, in hex.")
    width: int
    height: int
    frames: int


class EngineUsed(_Data):
    """What a video was made with, and how much memory that took."""

    device: str = Field(description="The GPU's name, or `CPU`.")
    ranks: int = Field(ge=1, description="Processes that made it, each with a GPU of its own.")
    precision: str = Field(description="What the model computed in, such as `bfloat16`.")
    attention: str = Field(description="The attention kernel: `cudnn`, `flash` or `torch`'s own.")
    compiled: bool = Field(description="Whether the transformer was compiled.")
    peak_memory: dict[str, int] = Field(
        default_factory=dict,
        description="By stage, the most bytes in use on one GPU, or in RAM on a CPU.",
    )


class Requested(RemixedRequest):
    """What `requested` carries: by anyone who may publish it; only `prompt` is required."""

    request_hash: str | None = Field(
        None, max_length=64, description="Digest of the body that `submit` was sent."
    )


class Deleted(_Data):
    """What `deleted` carries: nothing of what the video showed."""

    created_at: Timestamp = Field(description="JetStream's timestamp of the request, RFC 3339.")


class VideoData(Deleted):
    """What every event of a video but `requested` and `deleted` carries."""

    request: ResolvedRequest | None = Field(
        None, description="With every default filled in; absent if the request was not valid."
    )
    request_hash: str | None = None
    attempt: int = Field(0, ge=0, description="0 before the first, and then from 1.")
    worker: str | None = Field(None, description="The process that makes, or made, the video.")
    started_at: Timestamp | None = Field(
        None, description="When the first attempt started, RFC 3339."
    )


class Started(VideoData):
    """What `started` carries: a worker has taken the video."""

    lease: Lease


class Progressed(Started):
    """What `progressed` carries: the worker is alive, or gives the video back after an error."""

    progress: int = Field(ge=0, le=100, description="Percent of the whole way to the file.")
    stage: str = Field(description="What is being done, such as `denoising`.")
    error: Failure | None = Field(None, description="Why the lease was given back.")


class Completed(VideoData):
    """What `completed` carries: the files are there."""

    output: Output
    timings: dict[str, float] = Field(description="Seconds by stage, of the attempt that won.")
    model_revision: str = Field(description="Which weights made it.")
    engine: EngineUsed | None = Field(
        None, description="What it was made with; absent from events of older workers."
    )


class Failed(VideoData):
    """What `failed` carries: there will be no video."""

    error: Failure
    prompt: str | None = Field(
        None, description="The start of the prompt, where the request itself was not valid."
    )


class Cancelled(VideoData):
    """What `cancelled` carries: somebody asked for it."""


DATA_OF: Final[dict[EventName, type[BaseModel]]] = {
    E.REQUESTED: Requested,
    E.STARTED: Started,
    E.PROGRESSED: Progressed,
    E.COMPLETED: Completed,
    E.FAILED: Failed,
    E.CANCELLED: Cancelled,
    E.DELETED: Deleted,
}


def carried_over(data: BaseModel | None) -> dict[str, Any]:
    """What the next event of the same video takes over from `data`, the newest one's."""
    if not isinstance(data, VideoData):
        return {}
    return {name: getattr(data, name) for name in VideoData.model_fields}
