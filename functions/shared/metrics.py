"""Every metric that a function exposes at `/metrics`: docs/metrics.md is generated from `TABLE`.

Names end in their unit, as Prometheus's naming rules ask. Labels have few values: routes, codes,
stages and accounts, and never an id. A counter starts at 0 with each process.
"""

from __future__ import annotations

from typing import Final

from functions.shared.metric_kinds import CounterMetric, GaugeMetric, HistogramMetric, Metric

SUBMIT, STATUS, DISPATCH, GENERATE = "submit", "status", "dispatch", "generate"
ALL: Final = (SUBMIT, STATUS, DISPATCH, GENERATE)
_GPU: Final = ("gpu", "uuid")
# Appended to the meaning of what `functions/dispatch/stream_samples.py` reads.
_SAMPLED: Final = (
    " Asked every 15 s; none while NATS does not answer. Each replica tells the whole."
)
# From the demo's fifth of a second to the hours that a long queue makes a video wait.
_MINUTES: Final = (0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0)

HTTP_SECONDS: Final = HistogramMetric(
    "kinora_http_request_seconds",
    "Time to the first byte of the response.",
    ALL,
    ("function", "route", "method", "status"),
)
HTTP_ERRORS: Final = CounterMetric(
    "kinora_http_errors_total",
    "Requests that were refused or failed, by the code of the error.",
    ALL,
    ("function", "code"),
)
ACCOUNTS_FILE_IN_USE: Final = GaugeMetric(
    "kinora_accounts_file_in_use",
    "1 if ACCOUNTS_FILE is in use as it is now, 0 if only an older one can be.",
    (SUBMIT, STATUS, DISPATCH),
)
VIDEO_EVENTS: Final = CounterMetric(
    "kinora_video_events_total",
    "Events that this process stored, by their name; code is that of a failed video's error.",
    (SUBMIT, DISPATCH, GENERATE),
    ("event", "code"),
)
QUEUE_SECONDS: Final = HistogramMetric(
    "kinora_queue_seconds",
    "Time from a request to its first attempt.",
    (GENERATE,),
    buckets=_MINUTES,
)
ATTEMPTS: Final = CounterMetric(
    "kinora_attempts_total",
    "Attempts that were started, by their number; from 2 on, an earlier one failed or was lost.",
    (GENERATE,),
    ("number",),
)
STAGE_SECONDS: Final = HistogramMetric(
    "kinora_stage_seconds",
    "Duration of each stage of a completed video.",
    (GENERATE,),
    ("stage",),
    buckets=_MINUTES,
)
STEP_SECONDS: Final = HistogramMetric(
    "kinora_step_seconds",
    "Mean duration of a denoising step of a completed video, reused steps included.",
    (GENERATE,),
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 10.0, 30.0),
)
FRAMES: Final = CounterMetric("kinora_frames_total", "Frames of completed videos.", (GENERATE,))
GPU_SECONDS: Final = CounterMetric(
    "kinora_gpu_seconds_total",
    "Seconds of completed videos, times the engine's processes that made them; on a machine "
    "without a GPU, seconds of its CPUs.",
    (GENERATE,),
    ("account",),
)
ENGINE_STATE: Final = GaugeMetric(
    "kinora_engine_state",
    "1 for the state that the engine is in, 0 for the others: `starting`, `idle`, `rendering`, or "
    "`failed`, from which it tries to start again.",
    (GENERATE,),
    ("state",),
)
ENGINE_SECONDS: Final = CounterMetric(
    "kinora_engine_seconds_total",
    "Seconds that the engine has spent in each state; those between videos are `idle`.",
    (GENERATE,),
    ("state",),
)
ENGINE_START_SECONDS: Final = GaugeMetric(
    "kinora_engine_start_seconds",
    "Duration of the engine's latest start: `load`, with the import of torch, and `warm_up`, with "
    "what it compiles.",
    (GENERATE,),
    ("part",),
)
ENGINE_RESTARTS: Final = CounterMetric(
    "kinora_engine_restarts_total",
    "Times that the engine was lost and started again: a process `exited`, or `hung` without "
    "progress, was `interrupted`, was not ready in time (`load_timeout`), or could not be started "
    "(`start_failed`).",
    (GENERATE,),
    ("reason",),
)
ENGINE_INFO: Final = GaugeMetric(
    "kinora_engine_info",
    "1, with how the engine renders; `attention` is its kernel.",
    (GENERATE,),
    (
        "device",
        "ranks",
        "precision",
        "attention",
        "decoder_format",
        "compiled",
        "torch",
        "model_revision",
    ),
)
ENGINE_GRAPHS: Final = GaugeMetric(
    "kinora_engine_graphs",
    "Graphs of the latest start of a compiled engine, on its first process: `compiled`, or taken "
    "from a `cache`.",
    (GENERATE,),
    ("source",),
)
GPU_ANSWERING: Final = GaugeMetric(
    "kinora_gpu_answering",
    "1 if the driver answers for the GPU, 0 if the GPU is lost or has not answered for 30 s. "
    "`gpu` is its number in the replica.",
    (GENERATE,),
    _GPU,
)
GPU_UTILIZATION: Final = GaugeMetric(
    "kinora_gpu_utilization_ratio",
    "Share of the driver's last sample in which a kernel ran, from 0 to 1.",
    (GENERATE,),
    _GPU,
)
GPU_MEMORY_USED: Final = GaugeMetric(
    "kinora_gpu_memory_used_bytes", "Memory of the GPU that is in use.", (GENERATE,), _GPU
)
GPU_MEMORY_TOTAL: Final = GaugeMetric(
    "kinora_gpu_memory_total_bytes", "Memory of the GPU.", (GENERATE,), _GPU
)
GPU_POWER: Final = GaugeMetric(
    "kinora_gpu_power_watts", "Power that the GPU draws.", (GENERATE,), _GPU
)
GPU_TEMPERATURE: Final = GaugeMetric(
    "kinora_gpu_temperature_celsius", "Temperature of the GPU.", (GENERATE,), _GPU
)
GPU_THROTTLED: Final = GaugeMetric(
    "kinora_gpu_throttled",
    "1 while the driver lowers the clocks for this reason. `power_cap` is usual under load; "
    "`thermal`, `hardware_thermal`, `hardware` and `power_brake` are faults of cooling or power.",
    (GENERATE,),
    (*_GPU, "reason"),
)
GPU_XIDS: Final = CounterMetric(
    "kinora_gpu_xid_errors_total",
    "Critical errors that the driver has reported, by NVIDIA's number of the error (Xid).",
    (GENERATE,),
    (*_GPU, "xid"),
)
QUEUE_VIDEOS: Final = GaugeMetric(
    "kinora_queue_videos",
    "Videos that wait, and videos that are made. Each replica tells the whole.",
    (STATUS,),
    ("account", "state"),
)
QUEUE_OLDEST_SECONDS: Final = GaugeMetric(
    "kinora_queue_oldest_seconds",
    "How long the oldest request has waited; 0 without one. Each replica tells the whole.",
    (STATUS,),
)
QUEUE_SHARE: Final = GaugeMetric(
    "kinora_queue_share",
    "The part of the replicas that an account with videos that wait or are made is to get, by its "
    "weight; 0 to 1. Each replica tells the whole.",
    (STATUS,),
    ("account",),
)
QUEUE_AHEAD_SECONDS: Final = GaugeMetric(
    "kinora_queue_ahead_seconds",
    "How much more an account has used, for its weight, than the one whose turn was last. Each "
    "replica tells the whole.",
    (STATUS,),
    ("account",),
)
TURNS_GIVEN: Final = CounterMetric(
    "kinora_turns_total", "Turns that this process gave.", (DISPATCH,), ("account",)
)
OPEN_FEEDS: Final = GaugeMetric(
    "kinora_open_event_streams", "Event streams that are open.", (STATUS,)
)
FEEDS_DROPPED: Final = CounterMetric(
    "kinora_event_streams_dropped_total",
    "Event streams that were cut off: the client read nothing (`slow`), or its key no longer works "
    "(`revoked`).",
    (STATUS,),
    ("reason",),
)
INDEX_VIDEOS: Final = GaugeMetric(
    "kinora_index_videos", "Videos in the index, deleted ones that it remembers too.", (STATUS,)
)
INDEX_REPLAYS: Final = CounterMetric(
    "kinora_index_replays_total",
    "Times that the index was read from the streams: at the start, and after each loss.",
    (STATUS,),
)
INDEX_REPLAY_SECONDS: Final = GaugeMetric(
    "kinora_index_replay_seconds", "Duration of the latest finished replay.", (STATUS,)
)
INDEX_LAG: Final = GaugeMetric(
    "kinora_index_lag_messages",
    "Sequences that the index is behind the end of a stream, as of at most 10 s ago; none while "
    "NATS does not answer.",
    (STATUS,),
    ("stream",),
)
OPEN_DOWNLOADS: Final = GaugeMetric(
    "kinora_open_downloads",
    "Files that `status` is sending. The gateway sends videos without it.",
    (STATUS,),
)
STORE_SECONDS: Final = HistogramMetric(
    "kinora_store_seconds",
    "Time of each request to the object store to the start of its response, by S3's name of the "
    "operation.",
    ALL,
    ("operation",),
)
STORE_ERRORS: Final = CounterMetric(
    "kinora_store_errors_total",
    "Requests to the object store that failed, retries not counted, by S3's code or the error.",
    ALL,
    ("operation", "code"),
)
WEBHOOK_ATTEMPTS: Final = CounterMetric(
    "kinora_webhook_attempts_total",
    "Attempts to deliver a webhook, by how they ended.",
    (DISPATCH,),
    ("account", "outcome"),
)
WEBHOOK_PENDING: Final = GaugeMetric(
    "kinora_webhook_pending",
    "Webhooks that are not delivered yet, those that wait for a retry too. Each replica tells the "
    "whole.",
    (DISPATCH,),
    ("account",),
)
WEBHOOK_OLDEST_SECONDS: Final = GaugeMetric(
    "kinora_webhook_oldest_seconds",
    "Age of the oldest webhook that is not delivered yet; 0 without one. Each replica tells the "
    "whole.",
    (DISPATCH,),
    ("account",),
)
NATS_CONNECTED: Final = GaugeMetric(
    "kinora_nats_connected", "1 while there is a connection to NATS.", ALL, ("function",)
)
NATS_RECONNECTS: Final = CounterMetric(
    "kinora_nats_reconnects_total", "Times that the connection to NATS was established again.", ALL
)
PUBLISH_SECONDS: Final = HistogramMetric(
    "kinora_publish_seconds",
    "Time until NATS has answered a message that was published: `stored`, `conflict` (another was "
    "first), `full`, `refused`; or `unknown`, without an answer.",
    (SUBMIT, DISPATCH, GENERATE),
    ("stream", "outcome"),
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0),
)
STREAM_MESSAGES: Final = GaugeMetric(
    "kinora_stream_messages", "Messages in a stream." + _SAMPLED, (DISPATCH,), ("stream",)
)
STREAM_BYTES: Final = GaugeMetric(
    "kinora_stream_bytes", "Size of a stream on disk." + _SAMPLED, (DISPATCH,), ("stream",)
)
STREAM_LIMIT_BYTES: Final = GaugeMetric(
    "kinora_stream_limit_bytes",
    "Size limit of a stream; none for one without a limit." + _SAMPLED,
    (DISPATCH,),
    ("stream",),
)
CONSUMER_PENDING: Final = GaugeMetric(
    "kinora_consumer_pending",
    "Requests that wait for their turn (`waiting`), and that have one (`in_flight`)." + _SAMPLED,
    (DISPATCH,),
    ("consumer", "state"),
)
CONSUMER_LAG: Final = GaugeMetric(
    "kinora_consumer_lag_messages",
    "Sequences of REQUESTS from the oldest one that has not ended to the last one." + _SAMPLED,
    (DISPATCH,),
    ("consumer",),
)

TABLE: Final[tuple[Metric, ...]] = (
    HTTP_SECONDS,
    HTTP_ERRORS,
    ACCOUNTS_FILE_IN_USE,
    VIDEO_EVENTS,
    QUEUE_SECONDS,
    ATTEMPTS,
    STAGE_SECONDS,
    STEP_SECONDS,
    FRAMES,
    GPU_SECONDS,
    ENGINE_STATE,
    ENGINE_SECONDS,
    ENGINE_START_SECONDS,
    ENGINE_RESTARTS,
    ENGINE_INFO,
    ENGINE_GRAPHS,
    GPU_ANSWERING,
    GPU_UTILIZATION,
    GPU_MEMORY_USED,
    GPU_MEMORY_TOTAL,
    GPU_POWER,
    GPU_TEMPERATURE,
    GPU_THROTTLED,
    GPU_XIDS,
    QUEUE_VIDEOS,
    QUEUE_OLDEST_SECONDS,
    QUEUE_SHARE,
    QUEUE_AHEAD_SECONDS,
    TURNS_GIVEN,
    OPEN_FEEDS,
    FEEDS_DROPPED,
    INDEX_VIDEOS,
    INDEX_REPLAYS,
    INDEX_REPLAY_SECONDS,
    INDEX_LAG,
    OPEN_DOWNLOADS,
    STORE_SECONDS,
    STORE_ERRORS,
    WEBHOOK_ATTEMPTS,
    WEBHOOK_PENDING,
    WEBHOOK_OLDEST_SECONDS,
    NATS_CONNECTED,
    NATS_RECONNECTS,
    PUBLISH_SECONDS,
    STREAM_MESSAGES,
    STREAM_BYTES,
    STREAM_LIMIT_BYTES,
    CONSUMER_PENDING,
    CONSUMER_LAG,
)
