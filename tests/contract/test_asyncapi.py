"""`asyncapi.yaml` describes exactly the channels that the code uses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from functions.shared.api.event_schemas import EVENT_INFO
from functions.shared.subjects import VideoKey, is_token
from functions.shared.video.events import EventName
from tests.node import run_node

FOLDER = Path(__file__).parents[2] / "event-schemas"
DOCUMENT: dict[str, Any] = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text(encoding="utf-8"))
CHANNELS: dict[str, Any] = DOCUMENT["channels"]
REQUESTS = "requests"


def channel_of(name: EventName) -> str:
    return REQUESTS if name is EventName.REQUESTED else name.value


def refs(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for child in node.values():
            yield from refs(child)
    elif isinstance(node, list):
        for child in node:
            yield from refs(child)


def resolve(ref: str) -> Any:
    """The node that a reference within the document points to."""
    node: Any = DOCUMENT
    for step in ref.removeprefix("#/").split("/"):
        node = node[step]
    return node


def test_it_is_asyncapi_3() -> None:
    """The document declares its version, a NATS server, and the default media type."""
    assert DOCUMENT["asyncapi"] == "3.1.0"
    assert {server["protocol"] for server in DOCUMENT["servers"].values()} == {"nats"}
    assert DOCUMENT["defaultContentType"] == "application/cloudevents+json"


def test_the_official_parser_finds_nothing() -> None:
    """It reads the document with all its schemas, and has no error, warning or advice."""
    script = Path(__file__).with_name("parse_asyncapi.js")
    parsed = json.loads(run_node(script, FOLDER / "asyncapi.yaml"))
    assert parsed["diagnostics"] == []
    assert sorted(parsed["payloads"]) == sorted(name.type for name in EventName)


def test_there_is_a_channel_for_each_event_and_no_other() -> None:
    """The document lists every event that the code publishes, and no others."""
    assert set(CHANNELS) == {channel_of(name) for name in EventName}


@pytest.mark.parametrize("name", EventName)
def test_addresses_are_the_subjects_of_the_code(name: EventName) -> None:
    """With its parameters filled in, an address is the NATS subject that the code uses."""
    key = VideoKey("acme", "video_1")
    expected = key.request_subject if name is EventName.REQUESTED else key.event_subject(name)
    channel = CHANNELS[channel_of(name)]
    assert channel["address"].format(account=key.account, id=key.video_id) == expected
    assert set(channel["parameters"]) == set(re.findall(r"\{(\w+)\}", channel["address"]))


@pytest.mark.parametrize("name", EventName)
def test_each_channel_carries_its_event(name: EventName) -> None:
    """Each channel has one message, with the event's type, meaning and schema."""
    (ref,) = CHANNELS[channel_of(name)]["messages"].values()
    message = resolve(ref["$ref"])
    assert message["name"] == name.type
    assert message["summary"] == EVENT_INFO[name].meaning
    assert message["payload"]["schema"]["$ref"] == f"v1/{name}.json"
    assert message["payload"]["schemaFormat"] == "application/schema+json;version=draft-2020-12"


@pytest.mark.parametrize("ref", sorted(set(refs(DOCUMENT))))
def test_references_resolve(ref: str) -> None:
    """Every $ref points to a node of the document or to a file beside it."""
    if ref.startswith("#/"):
        assert resolve(ref)
    else:
        assert (FOLDER / ref).is_file()


def test_operations_are_from_kinoras_side() -> None:
    """Kinora sends every event and receives requests, the only channel that clients send to."""
    found = {
        (operation["action"], operation["channel"]["$ref"].rpartition("/")[2])
        for operation in DOCUMENT["operations"].values()
    }
    assert found == {("receive", REQUESTS), *(("send", channel_of(name)) for name in EventName)}


@pytest.mark.parametrize("operation", DOCUMENT["operations"])
def test_operations_use_messages_of_their_channel(operation: str) -> None:
    """The messages of an operation belong to its channel."""
    found = DOCUMENT["operations"][operation]
    for message in found["messages"]:
        assert message["$ref"].startswith(f"{found['channel']['$ref']}/messages/")


@pytest.mark.parametrize("token", ["a", "A-z_0", "a" * 64, "", "a" * 65, "a.b", "*", ">", "é"])
@pytest.mark.parametrize("parameter", ["account", "id"])
def test_parameters_have_the_pattern_of_tokens(parameter: str, token: str) -> None:
    """The pattern accepts exactly the accounts and ids that the code accepts."""
    described = DOCUMENT["components"]["parameters"][parameter]
    assert bool(re.search(described["x-pattern"], token)) == is_token(token)
    assert described["x-pattern"] in described["description"]
    assert all(is_token(example) for example in described["examples"])
