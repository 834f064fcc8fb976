"""Operations on the service itself: its model, this document, and its health."""

from __future__ import annotations

from functions.shared.api.openapi.operation import (
    JSON,
    Operation,
    Response,
    json_response,
    ref,
)
from functions.shared.errors import ModelNotFound, Unauthorized


def service_operations() -> list[Operation]:
    """The model, this document and the health, as the gateway has them."""
    return [_models(), _model(), _usage(), _document(), _health()]


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


def _usage() -> Operation:
    return Operation(
        id="getUsage",
        method="get",
        path="/v1/usage",
        tag="usage",
        summary="Get the usage by day",
        description="Videos that were completed, their GPU-seconds and bytes, by day: of the "
        "account; with a key of the role `operator`, of all accounts. Deleting a video changes "
        "nothing. It goes back as far as videos are kept (`MAX_AGE_DAYS`). As CSV with "
        "`format=csv` or `Accept: text/csv`.",
        parameters=(ref("parameters", "usage_format"),),
        responses={
            200: Response(
                "The days.",
                {JSON: ref("schemas", "UsageList"), "text/csv": {"type": "string"}},
            )
        },
        errors=(Unauthorized,),
    )


def _document() -> Operation:
    return Operation(
        id="getOpenApiDocument",
        method="get",
        path="/openapi.json",
        tag="service",
        summary="This document",
        description="For the deployed model.",
        responses={200: Response("The document.", {JSON: {"type": "object"}})},
        public=True,
    )


def _health() -> Operation:
    return Operation(
        id="getHealth",
        method="get",
        path="/health",
        tag="service",
        summary="Can videos be made and read?",
        description="For load balancers and monitoring. 503 says why not.",
        responses={200: json_response("Health", "Yes.")},
        public=True,
    )
