"""Every setting, in one place: an environment variable each, named like the field in capitals."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from functions.shared.networks import parse_networks


def _are_networks(text: str | None) -> str | None:
    parse_networks(text)
    return text


class Settings(BaseSettings):
    """The settings that the functions read.

    Credentials of the object store come the way boto3 finds them (`AWS_ACCESS_KEY_ID`,
    `AWS_SECRET_ACCESS_KEY`, ...), and are no settings of Kinora.

    Raises:
        pydantic.ValidationError: a variable's value can't be used; it names the variable.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    nats_url: str = Field(
        "nats://127.0.0.1:4222",
        description="The NATS servers: `nats://user:password@host:port`, several with commas.",
        repr=False,  # it may hold a password
    )
    stream_replicas: int = Field(
        1, ge=1, le=5, description="Copies of each stream: 3 in a cluster of three servers."
    )
    max_age_days: int = Field(30, ge=1, description="How long a video is kept, with its events.")
    requests_max_bytes: int = Field(
        1 << 30, ge=1 << 20, description="Size limit of the stream REQUESTS; beyond it, 429."
    )
    queue_limit: int = Field(
        10_000, ge=1, description="Requests waiting or running at which new ones get 429."
    )
    account_queue_limit: int | None = Field(
        None, ge=1, description="Requests of one account waiting at which its new ones get 429."
    )
    s3_endpoint: str | None = Field(
        None, description="The object store; Amazon's own when it is not set."
    )
    s3_bucket: str = Field("kinora", description="The bucket that videos go to.")
    s3_region: str = Field("us-east-1", description="The region that requests are signed for.")
    model: str = Field(
        "functions/generate/demo/checkpoint", description="A folder or hub id with Mochi's weights."
    )
    model_profile: str = Field(
        "demo", description="What the model can make: `demo`, or `mochi-1`, which needs a GPU."
    )
    api_keys_file: str | None = Field(
        None,
        description="Lines of `sha256(key) account`. Not set: no keys, one account `default`.",
    )
    webhooks_file: str | None = Field(
        None,
        description="Lines of `account url whsec_secret`. Not set: no webhooks.",
    )
    webhook_timeout_seconds: float = Field(
        15, gt=0, le=60, description="How long a webhook's endpoint may take to answer."
    )
    webhook_allowed_networks: Annotated[str | None, AfterValidator(_are_networks)] = Field(
        None,
        description="Private networks that webhooks may go to, also with http: `10.0.0.0/8,...`.",
    )
    k_sink: str | None = Field(
        None, description="Where `dispatch` sends requests; a SinkBinding sets it in a cluster."
    )
    forward_events: str | None = Field(
        None,
        pattern=r"^(started|progressed|completed|failed|cancelled|deleted)"
        r"(,(started|progressed|completed|failed|cancelled|deleted))*$",
        description="Events (`completed,...`) that `dispatch` sends to K_SINK, not requests.",
    )
    max_in_flight: int = Field(
        4, ge=1, description="Requests that `dispatch` keeps open: the most replicas of `generate`."
    )
    min_replicas: int = Field(
        2,
        ge=1,
        description="Replicas of `generate` that always run, for `eta_seconds`: more of them count "
        "once they have been seen.",
    )
    lease_seconds: float = Field(
        20, gt=0, description="After so long without a sign of life another worker takes over."
    )
    lease_renew_seconds: float = Field(
        5, gt=0, description="How often a worker reports progress, and so renews its lease."
    )
    takeover_grace_seconds: float = Field(
        15, ge=0, description="After NATS was away, how long no lease counts as expired."
    )
    first_byte_seconds: float = Field(
        600, gt=0, description="How long `dispatch` waits for a replica: pod start and model load."
    )
    silence_seconds: float = Field(
        30, gt=0, description="How long a running replica may say nothing before it counts as lost."
    )
    hang_seconds: float = Field(
        300, gt=0, description="How long the engine may make no progress before it is restarted."
    )
    load_seconds: float = Field(
        # 40 GB from the hub at 100 Mbit/s; from a disk it takes a minute, and compiling some more.
        3600,
        gt=0,
        description="How long the engine may take to be ready before it is started anew.",
    )
    render_seconds: float = Field(
        1500, gt=0, description="How long one attempt may render before its video fails for good."
    )
    engine_ranks: int | None = Field(
        None, ge=1, description="Processes that make a video together: 1 or 2. Not set: one a GPU."
    )
    engine_compile: bool | None = Field(
        None, description="Whether the engine compiles the model at its start. Not set: on GPUs."
    )
    engine_warm_up: str | None = Field(
        None,
        pattern=r"^[1-9]\d*x[1-9]\d*x[1-9]\d*(,[1-9]\d*x[1-9]\d*x[1-9]\d*)*$",
        description="Videos rendered before the engine is ready: `848x480x163,...`.",
    )
    http_deadline_seconds: float = Field(
        5, gt=0, description="After so long without an answer from NATS a caller gets 503."
    )
    max_body_bytes: int = Field(
        256 << 10, ge=1 << 10, description="The largest body that `submit` reads; beyond it, 413."
    )
    cors_origins: str | None = Field(
        None,
        pattern=r"^(\*|https?://[^\s/,*]+( *, *https?://[^\s/,*]+)*)$",
        description="Origins whose web pages may use the API: `https://a.example,...`, or `*`.",
    )


def load_settings() -> Settings:
    """Read the settings from the environment."""
    return Settings()
