"""Answers of NATS go to who asked: none becomes a message of REQUESTS or VIDEOS.

NATS checks permissions on the subject of a message, and not on the reply subject that it names.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import nats
import nats.errors
import pytest
import requests
from nats.aio.client import Client

from functions.shared.streams.consumers import FORWARD_CONSUMER, GENERATE_CONSUMER
from functions.shared.streams.jetstream import JetStream
from functions.shared.streams.nats_address import client_options
from functions.shared.subjects import QUEUE, QUEUE_SUBJECT, REQUESTS, TURNS, VIDEOS
from local.stack import ROOT
from tests.nats_users import USERS, NatsUsersStack, permissions
from tests.patience import scaled, wait_until

STORED = {REQUESTS: "kinora.requests.acme.v1", VIDEOS: "kinora.videos.acme.v1.completed"}
# JetStream sends more than this many only as fast as a client asks for them.
EVENTS = 5000
FUNCTIONS = [user for user in USERS if user != "operator"]


@pytest.fixture(scope="module", params=[False, True], ids=["one-server", "three-servers"])
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NatsUsersStack]:
    """NATS with the accounts of the manifests, the user of an outside publisher, and one video."""
    stack = NatsUsersStack(
        tmp_path_factory.mktemp("replies"), clustered=request.param, traced=False
    )
    stack._changes["FORWARD_EVENTS"] = "completed"  # creates the consumer `forward`
    for server in stack.nats_servers:
        _admit_the_publisher_of_the_readme(stack, server.name)
    try:
        stack.start_servers()
        asyncio.run(_store_a_video(stack))
        yield stack
    finally:
        stack.close()


def _admit_the_publisher_of_the_readme(stack: NatsUsersStack, name: str) -> None:
    """Add the account that the README shows to a server's configuration, as the README says."""
    (account,) = re.findall(
        r"^```text\n(  NEWSROOM .*?)^```$",
        (ROOT / "knative" / "README.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    users = stack.stack.data / f"{name}-config" / "users.conf"
    text = users.read_text().replace("accounts {\n", f"accounts {{\n{account}", 1)
    users.write_text(text.replace("$NEWSROOM_PASSWORD", stack.passwords["route"]))


def _forged(user: str) -> tuple[str, str]:
    """Reply subjects that the streams store, if anything is published there."""
    return f"kinora.requests.acme.of-{user}", f"kinora.videos.acme.of-{user}.deleted"


async def _connect(stack: NatsUsersStack, user: str) -> Client:
    return await nats.connect(**client_options(stack.nats_url_of(user)))


async def _store_a_video(stack: NatsUsersStack) -> None:
    client = await _connect(stack, "operator")
    for subject in STORED.values():
        await client.jetstream(timeout=scaled(10)).publish(subject, b"{}")
    await client.close()


async def _stored(stack: NatsUsersStack) -> set[str]:
    """The subjects that have a message in either stream."""
    client = await _connect(stack, "operator")
    found: set[str] = set()
    for stream in STORED:
        info = await client.jetstream(timeout=scaled(10)).stream_info(stream, subjects_filter=">")
        found |= set(info.state.subjects or {})
    await client.close()
    return found


def _question(pattern: str) -> tuple[str, bytes]:
    """A subject that matches the pattern, and a payload that is answered."""
    subject = pattern.replace(".>", ".1.1.1.1.0").replace("VIDEOS.*", "VIDEOS.forward")
    subject = subject.replace("$JS.ACK.VIDEOS.1", "$JS.ACK.VIDEOS.forward.1")
    subject = subject.replace("kinora.requests.*.*", "kinora.requests.acme.own")
    subject = subject.replace("*", "own")
    stream = next((one for one in (REQUESTS, QUEUE) if one in subject), VIDEOS)
    for call, body in (
        ("MSG.NEXT", {"batch": 1, "no_wait": True}),
        ("GET", {"last_by_subj": STORED.get(stream, QUEUE_SUBJECT)}),
        ("PURGE", {"filter": "kinora.none"}),
        ("LIST", {"offset": 0}),
    ):
        if call in subject:
            return subject, json.dumps(body).encode()
    return subject, b"+NXT" if "ACK" in subject else b""


@pytest.mark.parametrize("user", FUNCTIONS)
def test_no_answer_to_a_function_becomes_a_message(servers: NatsUsersStack, user: str) -> None:
    """On every subject that the function's user may publish to, with a reply subject of a stream.

    A function that can read could otherwise end anybody's video.
    """

    async def ask_for_everything() -> None:
        client = await _connect(servers, user)
        for pattern in permissions()[user, "publish"]:
            subject, body = _question(pattern)
            for reply in _forged(user):
                await client.publish(subject, body, reply=reply)
            # The server answers in order: this answer comes after the others.
            with contextlib.suppress(nats.errors.NoRespondersError, nats.errors.TimeoutError):
                await client.request(subject, body, timeout=scaled(1))
        await client.close()

    asyncio.run(ask_for_everything())
    assert not asyncio.run(_stored(servers)) & set(_forged(user))


@pytest.mark.parametrize("user", ["status", "dispatch"])
def test_no_consumer_of_a_function_delivers_into_a_stream(
    servers: NatsUsersStack, user: str
) -> None:
    """A consumer with a stream's subject to deliver to stays idle, beside one that delivers."""
    target_of_a_stream = f"kinora.requests.acme.by-consumer-of-{user}"

    async def follow_both() -> int:
        client = await _connect(servers, user)
        # Nobody else can be delivered to.
        status = await _connect(servers, "status")
        operator = await _connect(servers, "operator")
        inbox = status.new_inbox()
        delivered = await status.subscribe(inbox)
        names = []
        for number, target in enumerate((target_of_a_stream, inbox)):
            config = {"deliver_subject": target, "deliver_policy": "all", "ack_policy": "none"}
            answer = await _create_consumer(client, user, f"webhook-{number}", config)
            names.append(answer["name"])
        await delivered.next_msg(timeout=scaled(10))
        info = await operator.jetstream(timeout=scaled(10)).consumer_info(VIDEOS, names[0])
        for connection in (client, status, operator):
            await connection.close()
        assert info.delivered is not None
        return int(info.delivered.consumer_seq)

    assert asyncio.run(follow_both()) == 0
    assert target_of_a_stream not in asyncio.run(_stored(servers))


async def _create_consumer(
    client: Client, user: str, name: str, config: dict[str, str]
) -> dict[str, Any]:
    """Create a consumer of VIDEOS as a function's user may."""
    if user == "status":
        subject = f"$JS.API.CONSUMER.CREATE.{VIDEOS}"
    else:
        subject = f"$JS.API.CONSUMER.DURABLE.CREATE.{VIDEOS}.{name}"
        config = {**config, "durable_name": name}
    request = {"stream_name": VIDEOS, "config": {**config, "replay_policy": "instant"}}
    answer = await client.request(subject, json.dumps(request).encode(), timeout=scaled(10))
    found: dict[str, Any] = json.loads(answer.data)
    return found


@pytest.mark.parametrize("user", ["status", "dispatch"])
def test_the_set_up_repairs_a_consumer_that_a_function_changed(
    servers: NatsUsersStack, user: str
) -> None:
    """A known limit: who may create consumers of VIDEOS may change the one that forwards.

    It is as before once the set-up has run.
    """

    async def change() -> None:
        client = await _connect(servers, user)
        config = {
            "name": FORWARD_CONSUMER,
            "ack_policy": "explicit",
            "deliver_policy": "new",
            "replay_policy": "instant",
            "filter_subject": "kinora.videos.nobody.*.*",
        }
        answer = await client.request(
            f"$JS.API.CONSUMER.CREATE.{VIDEOS}",
            json.dumps({"stream_name": VIDEOS, "config": config}).encode(),
            timeout=scaled(10),
        )
        await client.close()
        assert "error" not in json.loads(answer.data)

    before = asyncio.run(_consumer(servers, VIDEOS, FORWARD_CONSUMER))
    asyncio.run(change())
    assert asyncio.run(_consumer(servers, VIDEOS, FORWARD_CONSUMER)) != before
    servers.set_up()
    assert asyncio.run(_consumer(servers, VIDEOS, FORWARD_CONSUMER)) == before


@pytest.mark.parametrize("user", [user for user in FUNCTIONS if user != "setup"])
def test_no_function_can_change_the_queue_of_dispatch(servers: NatsUsersStack, user: str) -> None:
    """None may create a consumer of TURNS, under any name."""

    async def change() -> bool:
        client = await _connect(servers, user)
        config = {"name": GENERATE_CONSUMER, "ack_policy": "explicit", "filter_subject": "a.b"}
        body = json.dumps({"stream_name": TURNS, "config": config}).encode()
        refused = []
        for form in ("", f".{GENERATE_CONSUMER}"):
            try:
                subject = f"$JS.API.CONSUMER.CREATE.{TURNS}{form}"
                await client.request(subject, body, timeout=scaled(1))
            except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
                refused.append(form)
        await client.close()
        return len(refused) == 2

    before = asyncio.run(_consumer(servers, TURNS, GENERATE_CONSUMER))
    assert asyncio.run(change())
    assert asyncio.run(_consumer(servers, TURNS, GENERATE_CONSUMER)) == before


async def _consumer(
    stack: NatsUsersStack, stream: str, name: str
) -> tuple[str | None, list[str] | None, int | None]:
    client = await _connect(stack, "operator")
    jetstream = client.jetstream(timeout=scaled(10))
    config = (await jetstream.consumer_info(stream, name)).config
    await client.close()
    return config.filter_subject, config.filter_subjects, config.max_ack_pending


def test_an_outside_publisher_gets_jetstreams_acknowledgement(servers: NatsUsersStack) -> None:
    """The account in the README stores requests of its own account, and nothing else."""

    async def publish() -> dict[str, object]:
        servers.passwords["newsroom"] = servers.passwords["route"]
        client = await _connect(servers, "newsroom")
        for reply in _forged("newsroom"):
            await client.publish("kinora.requests.newsroom.v1", b"{}", reply=reply)
        answer = await client.request("kinora.requests.newsroom.v2", b"{}", timeout=scaled(10))
        await client.publish("kinora.requests.acme.v2", b"{}")
        await client.close()
        found: dict[str, object] = json.loads(answer.data)
        return found

    assert asyncio.run(publish())["stream"] == REQUESTS
    stored = asyncio.run(_stored(servers))
    assert {"kinora.requests.newsroom.v1", "kinora.requests.newsroom.v2"} <= stored
    assert not stored & {*_forged("newsroom"), "kinora.requests.acme.v2"}


def test_batches_pass_between_accounts_and_leave_nothing_behind(servers: NatsUsersStack) -> None:
    """All answers arrive, and no server remembers who asked: `status` asks as long as it lives."""

    async def publish() -> None:
        client = await _connect(servers, "operator")
        for number in range(20):
            subject = f"kinora.requests.batch.v{number}"
            await client.jetstream(timeout=scaled(10)).publish(subject, b"{}")
        await client.close()

    asyncio.run(publish())
    # Of questions that other tests asked, and to which no answer came.
    earlier = _remembered(servers)
    bus = JetStream(servers.nats_url_of("status"))
    try:
        wait_until(
            lambda: (
                len(bus.read_after(REQUESTS, "kinora.requests.batch.*", 0, max_bytes=1 << 20)) == 20
            ),
            seconds=10,
            what="every server has stored all of them",
        )
        for _ in range(50):
            bus.get_last_message(REQUESTS, "kinora.requests.batch.v1", leader=False)
        wait_until(
            lambda: _remembered(servers) <= earlier,
            seconds=10,
            what="no answer is expected any more",
        )
    finally:
        bus.close()


def _remembered(servers: NatsUsersStack) -> set[tuple[str, str, str]]:
    """The questions that the servers may still answer: server, account and reply subject."""
    found: set[tuple[str, str, str]] = set()
    for server in servers.nats_servers:
        argv = servers.table[server.name].argv
        port = argv[argv.index("-m") + 1]
        for account in ("KINORA", "STATUS"):
            url = f"http://127.0.0.1:{port}/accountz?acc={account}"
            detail = requests.get(url, timeout=scaled(10)).json()["account_detail"]
            found |= {(server.name, account, reply) for reply in detail.get("responses") or {}}
    return found


def test_status_reads_a_long_list_from_the_other_account(servers: NatsUsersStack) -> None:
    """Long enough for JetStream's flow control, whose questions and answers cross accounts too."""

    async def publish() -> None:
        client = await _connect(servers, "operator")
        for number in range(EVENTS):
            await client.publish(f"kinora.videos.many.v{number}.completed", bytes(1000))
        await client.close()

    asyncio.run(publish())
    replayed = threading.Semaphore(0)
    bus = JetStream(servers.nats_url_of("status"))
    try:
        stop = bus.follow(
            VIDEOS,
            lambda _: replayed.release(),
            lambda: None,
            lambda: None,
            subject="kinora.videos.many.*.*",
        )
        for number in range(EVENTS):
            assert replayed.acquire(timeout=scaled(60)), f"{number} of {EVENTS} events"
        stop()
    finally:
        bus.close()
