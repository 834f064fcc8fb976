"""Operations on the service itself: its model, this document, health and metrics."""

from __future__ import annotations

from functions.shared.api.openapi.operation import (
    JSON,
    Json,
    Operation,
    Response,
    json_response,
    ref,
)
from functions.shared.errors import ModelNotFound, Unauthorized


def service_operations() -> list[Operation]:
    """The model for callers, and the routes for operators."""
    reason = {"type": "object", "required": ["status"], "properties": {"status": {}, "reason": {}}}
    internal = "Each function has its own; the gateway does not expose it."
    return [
        _models(),
        _model(),
        _public(
            "getOpenApiDocument", "/openapi.json", "This document", "For the deployed model.", JSON
        ),
        _public("getLiveness", "/healthz", "Is the process alive?", internal, JSON),
        _public("getReadiness", "/readyz", "Can it be sent requests?", internal, JSON, reason),
        _public(
            "getHealth",
            "/health",
            "Can videos be made and read?",
            "Whether NATS answers and stores what is published, and the list of videos is "
            "complete. Each function has one for what it needs; the gateway's is that of `submit` "
            "and `status`.",
            JSON,
            reason,
        ),
        _public("getMetrics", "/metrics", "Metrics for Prometheus", internal, "text/plain"),
    ]


def _models() -> Operation:
    return Operation(
        id="listModels",
        method="get",
        path="/v1/models",
        tag="models",
        summary="List models",
        description="Returns the limits and defaults of the deployed model.",
        responses={200: json_response("ModelList", "The deployed model.")},
        errors=(Unauthorized,),
    )


def _model() -> Operation:
    return Operation(
        id="getModel",
        method="get",
        path="/v1/models/{model}",
        tag="models",
        summary="Get a model",
        description="Returns the limits and defaults of the deployed model. It makes every video, "
        "whatever model a request names.",
        responses={200: json_response("Model", "The deployed model.")},
        errors=(Unauthorized, ModelNotFound),
        parameters=(ref("parameters", "model"),),
    )


def _public(
    name: str, path: str, summary: str, description: str, media: str, unready: Json | None = None
) -> Operation:
    schema: Json = {"type": "object"} if media == JSON else {"type": "string"}
    success = "Yes." if summary.endswith("?") else "Success."
    responses = {200: Response(success, {media: schema})}
    if unready is not None:
        responses[503] = Response("No; `reason` says why.", {media: unready})
    return Operation(
        id=name,
        method="get",
        path=path,
        tag="operations",
        summary=summary,
        description=description,
        responses=responses,
        public=True,
    )
