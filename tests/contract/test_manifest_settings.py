"""The functions' settings in the manifests: names, values, and those that must match others."""

from __future__ import annotations

import re

import pytest

from functions.setup.streams import turns_consumer
from functions.shared.config import Settings
from local.stack import ROOT
from tests.manifests import (
    EACH_GPU_OVERLAY,
    EACH_OVERLAY,
    FUNCTIONS,
    container_of,
    environment,
    find,
    overlay,
    pod_templates,
    settings_of,
)

# Variables that libraries read: boto3, torch, huggingface_hub.
LIBRARIES = {"AWS_EC2_METADATA_DISABLED", "OMP_NUM_THREADS", "HF_ENDPOINT", "HF_TOKEN"}


def _names_read_by(*paths: str) -> set[str]:
    """The environment variables that these files read."""
    text = "\n".join((ROOT / path).read_text() for path in paths)
    return set(re.findall(r"environ(?:\.get\(|\[)[\"']([A-Z_]+)[\"']", text)) | set(
        re.findall(r"\$\{?([A-Z][A-Z_]+)", text)
    )


@EACH_OVERLAY
def test_variables_are_settings_that_exist(name: str) -> None:
    """No manifest has a misspelt variable, or one of a setting that was removed."""
    known = {field.upper() for field in Settings.model_fields} | LIBRARIES
    known |= _names_read_by(
        "functions/shared/api/gunicorn.py", "functions/generate/gunicorn.conf.py"
    )
    objects = overlay(name)
    for owner, template in pod_templates(objects):
        (container,) = template["spec"]["containers"]
        part = container["image"].rpartition(":")[0].removeprefix("kinora/")
        if part == "ui":
            known_here = _names_read_by("ui/Caddyfile", "ui/start.sh")
        elif part in FUNCTIONS:
            # NATS_URL contains the password.
            known_here = known | {"NATS_PASSWORD", "s3/*"}
        else:
            continue
        assert environment(objects, container).keys() <= known_here, owner


@EACH_OVERLAY
@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_have_addresses_and_credentials(name: str, function: str) -> None:
    """Each function listens on all addresses, has its NATS user and S3, and valid values."""
    objects = overlay(name)
    variables = environment(objects, container_of(objects, function))
    assert variables["HOST"] == "0.0.0.0"
    assert variables["NATS_URL"] == f"nats://{function}:$(NATS_PASSWORD)@nats:4222"
    assert variables["NATS_PASSWORD"] == f"nats/{function}"
    assert variables["S3_ENDPOINT"] == "http://s3:8333"
    assert "s3/*" in variables
    settings_of(objects, container_of(objects, function))


@EACH_OVERLAY
def test_max_in_flight_is_max_scale(name: str) -> None:
    """max_ack_pending is max-scale: fewer start no fourth replica, more find no free one."""
    objects = overlay(name)
    annotations = find(objects, "Service", "generate")["spec"]["template"]["metadata"]
    most = int(annotations["annotations"]["autoscaling.knative.dev/max-scale"])
    (job,) = find(objects, "Job", "set-up")["spec"]["template"]["spec"]["containers"]
    for container in (job, container_of(objects, "dispatch")):
        # Set, and not the default that happens to be the same.
        given = environment(objects, container)["MAX_IN_FLIGHT"]
        settings = Settings(max_in_flight=int(given))
        assert turns_consumer(settings).max_ack_pending == most


@EACH_OVERLAY
def test_eta_counts_the_replicas_that_always_run(name: str) -> None:
    """MIN_REPLICAS is min-scale."""
    objects = overlay(name)
    template = find(objects, "Service", "generate")["spec"]["template"]["metadata"]
    least = int(template["annotations"]["autoscaling.knative.dev/min-scale"])
    assert settings_of(objects, container_of(objects, "status")).min_replicas == least


@EACH_OVERLAY
def test_every_nats_server_keeps_a_copy_of_the_streams(name: str) -> None:
    """STREAM_REPLICAS is the number of servers."""
    objects = overlay(name)
    servers = find(objects, "StatefulSet", "nats")["spec"]["replicas"]
    variables = environment(objects, container_of(objects, "submit"))
    assert int(variables["STREAM_REPLICAS"]) == servers


@EACH_GPU_OVERLAY
def test_a_replica_has_a_rank_for_each_of_its_gpus(name: str) -> None:
    """ENGINE_RANKS is the number of GPUs: one more fails to start, one less leaves a GPU idle."""
    container = container_of(overlay(name), "generate")
    gpus = container["resources"]["limits"]["nvidia.com/gpu"]
    assert environment(overlay(name), container)["ENGINE_RANKS"] == gpus
