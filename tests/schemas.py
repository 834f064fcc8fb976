"""Validates manifests against the schemas of their kinds.

Knative's and the Prometheus Operator's are among them.
"""

from __future__ import annotations

import functools
import importlib
import json
import warnings
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # ships none
import kubernetes_validate

# The manifests use only fields of this version, which newer servers have too.
KUBERNETES = "1.34"

# Models generated from CRDs. They ignore unknown fields, so their schemas are made strict
# and used instead.
_MODELS = {
    "serving.knative.dev/v1": "cloudcoil.models.knative_serving.serving.v1",
    "sources.knative.dev/v1": "cloudcoil.models.knative_eventing.sources.v1",
    "eventing.knative.dev/v1": "cloudcoil.models.knative_eventing.eventing.v1",
    "monitoring.coreos.com/v1": "cloudcoil.models.prometheus_operator.v1",
}


def validate(manifest: dict[str, Any]) -> None:
    """Return if the manifest is valid.

    Raises:
        AssertionError: it is not; the message says where and why.
    """
    # Most objects are alike in every overlay, and with every component.
    _validate(json.dumps(manifest, sort_keys=True))


@functools.cache
def _validate(document: str) -> None:
    manifest = json.loads(document)
    version, kind = manifest["apiVersion"], manifest["kind"]
    name = f"{kind} {manifest['metadata'].get('name')}"
    if version in _MODELS:
        problem = jsonschema.exceptions.best_match(_model_of(version, kind).iter_errors(manifest))
        assert problem is None, f"{name}: {problem.json_path}: {problem.message}"
        return
    try:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        raise AssertionError(f"{name}: {error.message}") from error


@functools.cache
def _model_of(version: str, kind: str) -> jsonschema.Draft202012Validator:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about the models' own field names
        model = getattr(importlib.import_module(_MODELS[version]), kind)
    return jsonschema.Draft202012Validator(_strict(model.model_json_schema(by_alias=True)))


def _strict(schema: Any) -> Any:
    """Forbid unknown properties, as the API server's strict validation does."""
    if isinstance(schema, dict):
        made = {name: _strict(part) for name, part in schema.items()}
        if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
            made.setdefault("additionalProperties", False)
        return made
    return [_strict(part) for part in schema] if isinstance(schema, list) else schema
