"""The overlays have room for what `knative/sizing.md` computes from measured costs."""

from __future__ import annotations

import re

import pytest

from tests.manifests import (
    EACH_OVERLAY,
    KNATIVE,
    Manifest,
    container_of,
    environment,
    find,
    overlay,
    settings_of,
)

# A video of full length takes three minutes.
VIDEOS_A_DAY = 480
UNITS = {"Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
# Replicas whose videos of MAX_AGE_DAYS each overlay holds.
REPLICAS = {"kind": 4, "h100": 4, "h100-fleet": 100}


def _bytes(quantity: str) -> int:
    """A quantity of Kubernetes, or of NATS, in bytes."""
    found = re.fullmatch(r"(\d+)([MGT]i)B?", quantity)
    assert found is not None, quantity
    return int(found[1]) * UNITS[found[2]]


def _cost(row: str) -> float:
    """What a video costs, from the row of the first table that begins with `row`."""
    text = (KNATIVE / "sizing.md").read_text()
    found = re.search(rf"^\| {re.escape(row)}[^|]*\| ([\d.,]+) \|$", text, re.MULTILINE)
    assert found is not None, row
    return float(found[1].replace(",", ""))


def _server(objects: list[Manifest]) -> Manifest:
    """The container of a NATS server."""
    pod = find(objects, "StatefulSet", "nats")["spec"]["template"]["spec"]
    container: Manifest = pod["containers"][0]
    return container


def _memory(container: Manifest) -> int:
    return _bytes(container["resources"]["limits"]["memory"])


def _temporary(objects: list[Manifest], service: str) -> int:
    """The size of a function's temporary folder."""
    pod = find(objects, "Service", service)["spec"]["template"]["spec"]
    (volume,) = [one for one in pod["volumes"] if one["name"] == "tmp"]
    return _bytes(volume["emptyDir"]["sizeLimit"])


@pytest.mark.parametrize("name", REPLICAS)
def test_an_overlay_has_room_for_the_videos_of_its_replicas(name: str) -> None:
    """For as long as videos are kept: on disk, in memory, and in the limit of REQUESTS."""
    objects = overlay(name)
    settings = settings_of(objects, container_of(objects, "status"))
    videos = REPLICAS[name] * VIDEOS_A_DAY * settings.max_age_days
    server = _server(objects)
    store = _bytes(environment(objects, server)["MAX_FILE_STORE"])
    for limit, row in {
        settings.requests_max_bytes: "Bytes on the disk of each NATS server, in REQUESTS",
        store: "Bytes on the disk of each NATS server, in both streams",
        _memory(server): "Bytes of memory of each NATS server",
        _memory(container_of(objects, "status")): "Bytes of memory of each process of `status`",
        _temporary(objects, "status"): "Bytes on the disk of each process of `status`",
        _memory(container_of(objects, "dispatch")): "Bytes of memory of each `dispatch`",
    }.items():
        assert _cost(row) * videos < limit, row


@pytest.mark.parametrize("name", ["h100", "h100-fleet"])
def test_the_object_store_has_room_for_the_default_number_of_replicas(name: str) -> None:
    """Of more replicas, the files belong into a store that keeps copies."""
    objects = overlay(name)
    settings = settings_of(objects, container_of(objects, "dispatch"))
    videos = settings.max_in_flight * VIDEOS_A_DAY * settings.max_age_days
    (claim,) = find(objects, "StatefulSet", "s3")["spec"]["volumeClaimTemplates"]
    room = _bytes(claim["spec"]["resources"]["requests"]["storage"])
    assert _cost("Bytes in the bucket") * videos < room


@EACH_OVERLAY
def test_nats_leaves_a_fifth_of_its_volume_free(name: str) -> None:
    """For snapshots, and for files that are being rewritten."""
    objects = overlay(name)
    store = _bytes(environment(objects, _server(objects))["MAX_FILE_STORE"])
    (claim,) = find(objects, "StatefulSet", "nats")["spec"]["volumeClaimTemplates"]
    assert store <= 0.8 * _bytes(claim["spec"]["resources"]["requests"]["storage"])
