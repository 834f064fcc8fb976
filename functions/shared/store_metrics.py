"""How long the object store takes, and what it refuses, as metrics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry

from functions.shared import metrics

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# In the context that botocore hands from event to event of one request.
_BEGUN: Final = "kinora_begun"


class StoreMetrics:
    """Observes the requests of S3 clients, through botocore's events."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Let `registry` collect what is observed."""
        self._seconds = metrics.STORE_SECONDS.on(registry)
        self._errors = metrics.STORE_ERRORS.on(registry)

    def observe(self, client: S3Client) -> None:
        """Observe all requests that `client` makes from now on."""
        events = client.meta.events
        events.register("before-call.s3", self._begin)
        events.register("after-call.s3", self._end)
        events.register("after-call-error.s3", self._fail)

    def _begin(self, *, context: dict[str, Any], **_: object) -> None:
        context[_BEGUN] = time.perf_counter()

    def _end(self, *, model: Any, parsed: Any, context: dict[str, Any], **_: object) -> None:
        self._seconds.labels(model.name).observe(time.perf_counter() - context[_BEGUN])
        if "Error" in parsed:
            self._errors.labels(model.name, str(parsed["Error"].get("Code", ""))).inc()

    def _fail(self, *, exception: Exception, context: dict[str, Any], **rest: Any) -> None:
        # Only the event's name says which operation: `after-call-error.s3.PutObject`.
        operation = rest["event_name"].rsplit(".", 1)[-1]
        self._seconds.labels(operation).observe(time.perf_counter() - context[_BEGUN])
        self._errors.labels(operation, type(exception).__name__).inc()
