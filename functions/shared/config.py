"""All settings: each is an environment variable with the name of its field in capitals."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from functions.shared.logs import LogFormat
from functions.shared.networks import parse_networks
from functions.shared.timestamps import HOUR_SECONDS
from functions.shared.video.events import EventName

_FORWARDABLE: Final = "|".join(name for name in EventName if name is not EventName.REQUESTED)


def _check_networks(text: str | None) -> str | None:
    parse_networks(text)
    return text


class Settings(BaseSettings):
    """The settings of the functions.

    Credentials of the object store are not among them: boto3 finds those itself
    (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, ...).

    Raises:
        pydantic.ValidationError: a variable's value is not valid; the error names the variable.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    nats_url: str = Field(
        "nats://127.0.0.1:4222",
        description="The NATS servers: `nats://user:password@host:port`, comma-separated.",
        repr=False,  # it may hold a password
    )
    stream_replicas: int = Field(
        1, ge=1, le=5, description="Replicas of each stream: 3 in a cluster of three servers."
    )
    max_age_days: int = Field(
        30, ge=1, description="How long videos and their events are kept, in days."
    )
    requests_max_bytes: int = Field(
        1 << 30,
        ge=1 << 20,
        description="Size limit of the stream REQUESTS. Above it, requests get 429.",
    )
    queue_limit: int = Field(
        10_000,
        ge=1,
        description="Limit of requests waiting or running. At the limit, new requests get 429.",
    )
    account_queue_limit: int | None = Field(
        None,
        ge=1,
        description="Limit of waiting requests per account. At the limit, new ones get 429.",
    )
    account_requests_per_second: float = Field(
        # A process of `submit` answers about 700 on two cores.
        500,
        gt=0,
        allow_inf_nan=False,
        description="Requests per second of an account to one process. Above it, they get 429.",
    )
    index_cache_bytes: int = Field(
        # About 20,000 videos with prompts of 100 characters: all that wait, at QUEUE_LIMIT.
        32 << 20,
        ge=1 << 20,
        description="Memory of `status` for videos read or changed last; TMPDIR has the rest.",
    )
    s3_endpoint: str | None = Field(
        None, description="URL of the object store. Not set: Amazon S3."
    )
    s3_bucket: str = Field("kinora", description="Bucket for the files of videos.")
    s3_region: str = Field(
        "us-east-1", description="Region for which requests to the object store are signed."
    )
    model: str = Field(
        "functions/generate/demo/checkpoint",
        description="Mochi's weights: a folder, or an id on the Hugging Face hub.",
    )
    model_profile: str = Field(
        "demo",
        description="Limits and defaults of the model: `demo`, or `mochi-1`, which needs a GPU.",
    )
    accounts_file: str | None = Field(
        None,
        description="File of accounts: keys, webhooks. Not set: no keys, one account `default`.",
    )
    webhook_timeout_seconds: float = Field(
        15, gt=0, le=60, description="Time limit for a webhook endpoint to respond."
    )
    webhook_allowed_networks: Annotated[str | None, AfterValidator(_check_networks)] = Field(
        None,
        description="Private networks that webhooks may reach, also over http: `10.0.0.0/8,...`.",
    )
    k_sink: str | None = Field(
        None,
        description="URL to which `dispatch` sends requests. In a cluster, a SinkBinding sets it.",
    )
    forward_events: str | None = Field(
        None,
        pattern=f"^({_FORWARDABLE})(,({_FORWARDABLE}))*$",
        description="Events (`completed,...`) that `dispatch` sends to K_SINK instead of requests.",
    )
    max_in_flight: int = Field(
        4,
        ge=1,
        description="Requests that `dispatch` keeps in flight: the maximum replicas of `generate`.",
    )
    min_replicas: int = Field(
        2,
        ge=1,
        description="Replicas of `generate` that `eta_seconds` assumes until it sees more.",
    )
    lease_seconds: float = Field(
        20, gt=0, description="Without an event for this long, another worker takes the video over."
    )
    lease_renew_seconds: float = Field(
        5, gt=0, description="Interval at which a worker reports progress, which renews its lease."
    )
    takeover_grace_seconds: float = Field(
        15, ge=0, description="Grace period after an outage of NATS in which no lease expires."
    )
    first_byte_seconds: float = Field(
        600,
        gt=0,
        description="Time limit for a replica to respond, including pod start and model load.",
    )
    silence_seconds: float = Field(
        30, gt=0, description="A running replica that sends nothing for this long counts as lost."
    )
    hang_seconds: float = Field(
        300, gt=0, description="An engine without progress for this long is restarted."
    )
    load_seconds: float = Field(
        # 40 GB from the hub at 100 Mbit/s. Loading from disk takes a minute, plus compilation.
        3600,
        gt=0,
        description="An engine that is not ready after this long is restarted.",
    )
    render_seconds: float = Field(
        1500,
        gt=0,
        description="Time limit for one attempt to render. Past it, the video fails without retry.",
    )
    upload_retry_seconds: float = Field(
        # A night's outage at most. Claims are checked, so this only has to end an upload that a
        # store refuses for ever though it takes others.
        6 * HOUR_SECONDS,
        ge=0,
        description="How long a rendered video waits for an object store that refuses it. Past it,"
        " the attempt has failed.",
    )
    loras: str | None = Field(
        None,
        pattern=r"^[^,:]+:-?\d+(\.\d+)?(, *[^,:]+:-?\d+(\.\d+)?)*$",
        description="LoRAs that are added to the model when it is loaded: files, or folders with "
        "one file each, with scales: `/weights/style.safetensors:0.8,...`.",
    )
    engine_ranks: int | None = Field(
        None,
        ge=1,
        description="Processes that render one video together: 1 or 2. Not set: one per GPU.",
    )
    engine_compile: bool | None = Field(
        None,
        description="Whether the engine compiles the model when it starts. Not set: on GPUs only.",
    )
    compile_cache: str | None = Field(
        None,
        description="A folder that lasts, for what the engine compiles: the next start on such a "
        "machine takes it from there.",
    )
    engine_attention: Literal["cudnn", "flash3", "flash", "efficient", "math"] | None = Field(
        None,
        description="The attention kernel, for equal frames wherever it is the same. Not set: the "
        "fastest of those that work, measured when the engine starts.",
    )
    engine_decoder_format: Literal["contiguous_format", "channels_last_3d"] | None = Field(
        None,
        description="The memory format of the VAE's decoder, for equal frames wherever it is the "
        "same. Not set: on GPUs the faster one, measured when the engine starts; on CPUs "
        "`contiguous_format`.",
    )
    engine_warm_up: str | None = Field(
        None,
        pattern=r"^[1-9]\d*x[1-9]\d*x[1-9]\d*(,[1-9]\d*x[1-9]\d*x[1-9]\d*)*$",
        description="Videos to render before the engine is ready: `848x480x163,...`.",
    )
    preview_seconds: float = Field(
        10,
        ge=0,
        allow_inf_nan=False,
        description="Time between two previews of a video that is being made, at least; 0 turns "
        "them off. They also take at most 1 % of a render.",
    )
    http_deadline_seconds: float = Field(
        5, gt=0, description="Without a response from NATS for this long, a caller gets 503."
    )
    max_body_bytes: int = Field(
        256 << 10,
        ge=1 << 10,
        description="Maximum size of a request body. Above it, requests get 413.",
    )
    cors_origins: str | None = Field(
        None,
        pattern=r"^(\*|https?://[^\s/,*]+( *, *https?://[^\s/,*]+)*)$",
        description="Origins whose web pages may use the API: `https://a.example,...`, or `*`.",
    )
    allowed_hosts: str | None = Field(
        None,
        pattern=r"^[^\s/,]+( *, *[^\s/,]+)*$",
        description="Names by which callers may address the API, comma-separated. Not set: any.",
    )
    log_format: LogFormat = Field(
        LogFormat.JSON,
        description="Log lines: `json`, one object each; or `text`, as in `make run`.",
    )


def load_settings() -> Settings:
    """Read the settings from the environment."""
    return Settings()
