"""The events of a video: their names, their data, and which may follow which."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from functions.shared.timestamps import parse_rfc3339
from functions.shared.video.profiles import Quality
from functions.shared.video.requests import RemixedRequest, ResolvedRequest
from functions.shared.video.warnings import Warnings

MAX_ATTEMPTS: Final = 3
# The code of a video whose events the stream has lost, and of which no files were found.
STATE_LOST: Final = "state_lost"
# That of a video whose last attempt ended without a word, and of one that no worker ever took.
WORKER_LOST: Final = "worker_lost"
QUEUED_TOO_LONG: Final = "queued_too_long"


class EventName(StrEnum):
    """The kinds of events; each is the last token of its event's subject."""

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

# Which events may follow each one; None stands for a video with only a request, or of which the
# stream has lost all events: it is then completed again, from its record.
TRANSITIONS: Final[dict[EventName | None, frozenset[EventName]]] = {
    None: frozenset({E.STARTED, E.COMPLETED, E.FAILED, E.CANCELLED, E.DELETED}),
    E.STARTED: RUNNING | TERMINAL,
    E.PROGRESSED: RUNNING | TERMINAL,
    E.COMPLETED: frozenset({E.DELETED}),
    E.FAILED: frozenset({E.DELETED}),
    E.CANCELLED: frozenset({E.DELETED}),
    E.DELETED: frozenset(),
}


class State(StrEnum):
    """A video's status in the HTTP API; strict OpenAI clients accept no others."""

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
    # Later versions of an event may have more fields, which this version ignores.
    model_config = ConfigDict(frozen=True, extra="ignore")


def _is_timestamp(text: str) -> str:
    # Nanoseconds since the epoch must fit SQLite's 64-bit integers.
    if parse_rfc3339(text) >= 1 << 63:
        raise ValueError("is too far in the future")
    return text


Timestamp = Annotated[str, AfterValidator(_is_timestamp)]


class Lease(_Data):
    """A worker's right to the video, until the next event renews it or it expires."""

    id: str = Field(description="128 random bits in hex, which identify the attempt.")
    seconds: float = Field(
        ge=0, description="Duration, from the event's JetStream timestamp; 0 releases the video."
    )


class Failure(_Data):
    """Why a video, or one attempt to render it, failed."""

    code: str = Field(
        description="A code for programs, such as `out_of_memory`; `state_lost` if the server has "
        "lost what became of the video."
    )
    message: str = Field(description="A message for people: what happened, and what to do.")


class Output(_Data):
    """The files of a completed video."""

    prefix: str = Field(description="The prefix of the objects' keys in the bucket.")
    bytes: int = Field(description="Size of video.mp4, in bytes.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of video.mp4, in hex.")
    width: int
    height: int
    frames: int


class EngineUsed(_Data):
    """The hardware and settings that a video was rendered with, and the memory used."""

    device: str = Field(description="The GPU's model name, or `CPU`.")
    ranks: int = Field(ge=1, description="Processes that rendered it, each on its own GPU.")
    precision: str = Field(description="The model's data type, such as `bfloat16`.")
    attention: str = Field(
        description="The attention kernel: `cudnn`, `flash3`, `flash`, `efficient` or `math`; in "
        "older events also `torch`, for torch's own choice. Another one gives other last bits."
    )
    compiled: bool = Field(description="Whether the transformer was compiled.")
    # Events of older workers have neither.
    threads: int | None = Field(
        None, ge=1, description="CPU threads of each process; on a CPU, frames depend on them."
    )
    torch: str | None = Field(None, description="The version of torch.")
    # Nor do they have these.
    attention_ms: float | None = Field(
        None, ge=0, description="Milliseconds that one call of the kernel took at the start."
    )
    attention_rejected: dict[str, str] = Field(
        default_factory=dict,
        description="Why other kernels were not chosen, by name: `absent`, or a text that begins "
        "with `slower`, `wrong` or `failing`.",
    )
    decoder_format: str | None = Field(
        None,
        description="The memory format of the VAE's decoder: `contiguous_format` or "
        "`channels_last_3d`. Another one gives other last bits.",
    )
    decoder_ms: float | None = Field(
        None,
        ge=0,
        description="Milliseconds that decoding a sixth of a chunk took at the start, if measured.",
    )
    decoder_rejected: dict[str, str] = Field(
        default_factory=dict,
        description="Why the other format was not chosen, by name: a text that begins with "
        "`slower`, `wrong` or `failing`.",
    )
    quality: Quality | None = Field(None, description="The quality that it was rendered with.")
    steps_computed: int | None = Field(
        None, ge=0, description="Denoising steps that were computed whole."
    )
    steps_reused: int | None = Field(
        None, ge=0, description="Denoising steps that reused an earlier one; 0 if `exact`."
    )
    peak_memory: dict[str, int] = Field(
        default_factory=dict,
        description="Peak memory by stage, in bytes: of one GPU, or RAM on a CPU.",
    )


class Requested(RemixedRequest):
    """Data of `requested`, from any authorised publisher; only `prompt` is required."""

    request_hash: str | None = Field(
        None, max_length=64, description="Digest of the request body that `submit` received."
    )


class Usage(_Data):
    """What a completed video has used; nothing about its content."""

    completed_at: Timestamp = Field(
        description="JetStream's timestamp of the event `completed`, RFC 3339."
    )
    gpu_seconds: float = Field(
        ge=0, description="Seconds of the successful attempt, times the processes that made it."
    )
    bytes: int = Field(ge=0, description="Size of video.mp4, in bytes.")


class CreatedData(_Data):
    """What every event but `requested` carries."""

    created_at: Timestamp = Field(description="JetStream's timestamp of the request, RFC 3339.")


class Deleted(CreatedData):
    """Data of `deleted`: nothing about the video's content."""

    # Not in events of older versions.
    usage: Usage | None = Field(
        None, description="What the video had used, if it was completed: deleting it hides no use."
    )


class VideoData(CreatedData):
    """Data of every event but `requested` and `deleted`."""

    request: ResolvedRequest | None = Field(
        None, description="The request with every default resolved; absent if it was invalid."
    )
    request_hash: str | None = None
    attempt: int = Field(
        0, ge=0, description="The attempt's number, from 1; 0 before the first attempt."
    )
    worker: str | None = Field(
        None, description="The worker process that renders, or rendered, the video."
    )
    started_at: Timestamp | None = Field(
        None, description="When the first attempt started, RFC 3339."
    )
    warnings: Warnings = Field(
        (), description="Which parts of the request have no effect on the video, and why."
    )


class Started(VideoData):
    """Data of `started`: a worker has claimed the video."""

    lease: Lease


class Progressed(Started):
    """Data of `progressed`: the worker renews its lease, or releases it after an error."""

    progress: int = Field(ge=0, le=100, description="Percentage of the whole attempt.")
    stage: str = Field(description="The current stage, such as `denoising`.")
    error: Failure | None = Field(None, description="Why the lease was released.")
    preview: int | None = Field(
        None,
        ge=1,
        description="The number of the newest preview of this attempt; absent before the first.",
    )


class Completed(VideoData):
    """Data of `completed`: the files are stored."""

    output: Output
    timings: dict[str, float] = Field(description="Seconds per stage of the successful attempt.")
    model_revision: str = Field(description="The revision of the weights used.")
    engine: EngineUsed | None = Field(
        None, description="How it was rendered; absent from events of older workers."
    )


class Failed(VideoData):
    """Data of `failed`: the video will not be completed."""

    error: Failure
    prompt: str | None = Field(
        None, description="The start of the prompt, if the request was invalid."
    )


class Cancelled(VideoData):
    """Data of `cancelled`: a caller cancelled the video."""


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
    """The fields that the next event of the video takes over from `data`, the newest event's."""
    if not isinstance(data, VideoData):
        return {}
    return {name: getattr(data, name) for name in VideoData.model_fields}
