"""NATS with the users of the cluster: each function has the permissions it needs, and no more."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import nats
import nats.errors
import pytest
import requests
from nats.js.api import AckPolicy, ConsumerConfig

from functions.dispatch.sweeper import Sweeper
from functions.shared.errors import Unavailable
from functions.shared.storage import S3Store
from functions.shared.streams.consumers import GENERATE_CONSUMER
from functions.shared.streams.jetstream import JetStream
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.nats_address import client_options
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import REQUESTS, VIDEOS, VideoKey
from functions.shared.video.events import EventName, Failed, Failure
from functions.shared.video.profiles import load_profile
from local.probes import Probe
from tests.accounts import write_accounts
from tests.nats_users import USERS, NatsUsersStack, matches, permissions
from tests.patience import scaled, wait_until
from tests.ports import free_ports
from tests.unit.events import publish, started

# Published only under a load that tests do not create.
UNDER_LOAD = {("status", "$JS.FC.>"), ("dispatch", "$JS.FC.>")}

REQUEST_ID = "from-a-test"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsUsersStack]:
    """All of Kinora on one NATS server with users."""
    folder = tmp_path_factory.mktemp("guarded")
    # Nothing listens on this port, so the consumer also uses what failed deliveries need.
    secret = base64.b64encode(bytes(24)).decode()
    webhook = ("default", "http://127.0.0.1:9/hook", f"whsec_{secret}")
    settings = {
        # Often enough for every video to publish progress.
        "LEASE_RENEW_SECONDS": "0.2",
        "ACCOUNTS_FILE": write_accounts(folder / "accounts", webhooks=[webhook]),
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        # Without a limit, the requests of an account are not counted.
        "ACCOUNT_QUEUE_LIMIT": "1000",
    }
    stack = NatsUsersStack(folder, settings)
    stack._changes["FORWARD_EVENTS"] = "completed,failed"  # for the set-up
    try:
        stack.start_all()
        yield stack
    finally:
        stack.close()


def _wait_until_finished(stack: NatsUsersStack, video_id: str) -> dict[str, str]:
    def finished() -> dict[str, str] | None:
        video: dict[str, str] = requests.get(
            f"{stack.url}/v1/videos/{video_id}", timeout=scaled(10)
        ).json()
        return video if video["status"] in {"completed", "failed"} else None

    return wait_until(finished, seconds=90, what=f"{video_id} finishes", every=0.2)


def _post(stack: NatsUsersStack) -> str:
    answer = requests.post(
        f"{stack.url}/v1/videos",
        json={"prompt": "a red circle", "seed": 1},
        headers={"x-request-id": REQUEST_ID},
        timeout=scaled(10),
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def _violations(stack: NatsUsersStack) -> list[str]:
    lines = "\n".join(stack.stack.log_of(name).read_text() for name in stack.table).splitlines()
    return [line for line in lines if "iolation" in line]


def test_a_clustered_nats_with_users_serves_all_functions(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Three servers, which authenticate to each other with a password."""
    stack = NatsUsersStack(tmp_path_factory.mktemp("guarded-cluster"), clustered=True)
    try:
        stack.start_all()
        assert _wait_until_finished(stack, _post(stack))["status"] == "completed"
        assert _violations(stack) == []
    finally:
        stack.close()


@pytest.fixture(scope="module")
def broker(guarded: NatsUsersStack) -> Iterator[list[tuple[dict[str, str], bytes]]]:
    """The events that a second `dispatch` delivers to a sink, which refuses the first request."""
    taken: list[tuple[dict[str, str], bytes]] = []
    refused: list[str] = []

    class Broker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            ready = bool(refused)
            if ready:
                taken.append(({n.lower(): v for n, v in self.headers.items()}, body))
            else:
                refused.append(self.path)
            self.send_response(202 if ready else 503)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """No logging."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Broker)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    (port,) = free_ports(1)
    dispatch = guarded.table["dispatch"]
    changes = {
        "FORWARD_EVENTS": "completed,failed",
        "K_SINK": f"http://127.0.0.1:{server.server_port}",
        "NATS_URL": guarded.nats_url_of("forward"),
        "PORT": str(port),
    }
    guarded.table["forward"] = replace(
        dispatch,
        name="forward",
        env={**dispatch.env, **changes},
        probe=Probe("http", port, "/readyz"),
    )
    guarded.start("forward")
    yield taken
    server.shutdown()
    server.server_close()


def test_events_reach_a_broker(
    guarded: NatsUsersStack, broker: list[tuple[dict[str, str], bytes]]
) -> None:
    """A second `dispatch` with another consumer and sink delivers the chosen events."""
    video = _post(guarded)
    assert _wait_until_finished(guarded, video)["status"] == "completed"
    headers, body = wait_until(
        lambda: next((e for e in broker if e[0]["ce-subject"] == video), None),
        seconds=60,
        what="the event is delivered, after it was refused once",
    )
    assert headers["ce-type"] == "dev.kinora.video.completed.v1"
    assert headers["ce-account"] == "default"
    assert headers["ce-requestid"] == REQUEST_ID
    assert json.loads(body)["output"]["frames"] > 0


def test_every_permission_is_used_and_none_is_missing(guarded: NatsUsersStack, s3: S3Store) -> None:
    """The users' permissions are exactly the subjects that the functions use."""
    video = _post(guarded)
    assert _wait_until_finished(guarded, video)["status"] == "completed"
    with requests.get(
        f"{guarded.url}/v1/events",
        headers={"Last-Event-ID": "0-0"},
        stream=True,
        timeout=scaled(10),
    ) as feed:
        lines = feed.iter_lines(chunk_size=1)
        assert any(b"completed" in line for line in lines)
    unknown = f"{guarded.url}/v1/videos/unknown"
    assert requests.get(unknown, timeout=scaled(10)).status_code == 404
    assert requests.post(f"{unknown}/cancel", timeout=scaled(10)).status_code == 404
    assert requests.get(f"{guarded.url}/v1/videos", timeout=scaled(10)).json()["data"]
    _restore_a_lost_video(guarded, video)
    cancelled = _post(guarded)
    requests.post(
        f"{guarded.url}/v1/videos/{cancelled}/cancel", timeout=scaled(10)
    ).raise_for_status()
    requests.delete(f"{guarded.url}/v1/videos/{video}", timeout=scaled(10)).raise_for_status()
    _publish(guarded, "operator", f"kinora.requests.default.{cancelled}x", b"no request")
    assert _wait_until_finished(guarded, f"{cancelled}x")["status"] == "failed"
    write_accounts(guarded.stack.data / "accounts")
    log = guarded.stack.log_of("dispatch")
    wait_until(
        lambda: "removed: its endpoint is no longer" in log.read_text(),
        seconds=10,
        what="the consumer of the endpoint is removed",
    )
    asyncio.run(_create_the_queue_of_earlier_versions(guarded))
    guarded.set_up()
    _sweep_an_interrupted_deletion(guarded, s3)
    _fail_a_video_as_generate(guarded)
    assert _violations(guarded) == []

    used = guarded.used_subjects()
    for (user, verb), allowed in permissions().items():
        for pattern in allowed:
            if (user, pattern) not in UNDER_LOAD:
                assert any(matches(pattern, subject) for subject in used[user, verb]), (
                    f"{user} may {verb} {pattern}, and never does"
                )


async def _create_the_queue_of_earlier_versions(stack: NatsUsersStack) -> None:
    client = await nats.connect(**client_options(stack.nats_url_of("operator")))
    config = ConsumerConfig(durable_name=GENERATE_CONSUMER, ack_policy=AckPolicy.EXPLICIT)
    await client.jetstream().add_consumer(REQUESTS, config)
    await client.close()


def _bus(stack: NatsUsersStack, user: str) -> JetStream:
    return JetStream(stack.nats_url_of(user))


def _publish(stack: NatsUsersStack, user: str, subject: str, payload: bytes) -> None:
    async def send() -> None:
        client = await nats.connect(**client_options(stack.nats_url_of(user)))
        await client.jetstream().publish(subject, payload)
        await client.close()

    asyncio.run(send())


def _restore_a_lost_video(stack: NatsUsersStack, video: str) -> None:
    """As the operator, and as `dispatch`, which searches for lost videos all the time."""
    bus = _bus(stack, "operator")
    try:
        for user in ("operator", "dispatch"):
            bus.purge(VIDEOS, f"kinora.videos.default.{video}.*")
            said = stack.restore_videos(NATS_URL=stack.nats_url_of(user))
            assert "1 restored" in said
            assert _wait_until_finished(stack, video)["status"] == "completed"
    finally:
        bus.close()


def _sweep_an_interrupted_deletion(stack: NatsUsersStack, store: S3Store) -> None:
    """Run the sweep that `dispatch` runs every ten minutes, as its user."""
    video = f"v{uuid.uuid4().hex[:8]}"
    for subject in (f"requests.default.{video}", f"videos.default.{video}.started"):
        _publish(stack, "operator", f"kinora.{subject}", b"left by the interrupted deletion")
    tombstone = json.dumps(
        {"specversion": "1.0", "id": "1", "source": "/t", "subject": video,
         "type": "dev.kinora.video.deleted.v1", "data": {"created_at": "2026-01-01T00:00:00Z"}}
    )  # fmt: skip
    _publish(stack, "operator", f"kinora.videos.default.{video}.deleted", tombstone.encode())
    bus = _bus(stack, "dispatch")
    try:
        Sweeper(
            bus, Ledger(bus, takeover_grace=0), load_profile("demo"), store, max_age_days=30
        ).sweep()
        assert (
            bus.get_last_message("REQUESTS", f"kinora.requests.default.{video}", leader=True)
            is None
        )
    finally:
        bus.close()


def _fail_a_video_as_generate(stack: NatsUsersStack) -> None:
    bus = _bus(stack, "generate")
    ledger, key = Ledger(bus, takeover_grace=0), VideoKey("default", f"v{uuid.uuid4().hex[:8]}")
    try:
        state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
        failed = Failed(
            created_at="2026-01-01T00:00:00Z", error=Failure(code="x", message="a test")
        )
        assert publish(ledger, state, EventName.FAILED, failed).terminal
    finally:
        bus.close()


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        ("submit", "kinora.videos.default.v1.completed"),
        ("submit", "kinora.turns.default.v1"),
        ("submit", "kinora.queue"),
        ("status", "kinora.queue"),
        ("generate", "kinora.turns.default.v1"),
        ("status", "kinora.requests.default.v1"),
        ("status", "kinora.videos.default.v1.deleted"),
        ("status", "$JS.API.STREAM.PURGE.VIDEOS"),
        ("dispatch", "kinora.requests.default.v1"),
        ("dispatch", "kinora.videos.default.v1.started"),
        ("dispatch", "$JS.API.CONSUMER.DURABLE.CREATE.VIDEOS.forward"),
        ("dispatch", "$JS.API.CONSUMER.DELETE.VIDEOS.forward"),
        ("dispatch", "$JS.API.CONSUMER.MSG.NEXT.VIDEOS.forward"),
        ("dispatch", "$JS.ACK.VIDEOS.forward.1.1.1.1.0"),
        ("dispatch", "$JS.API.CONSUMER.DURABLE.CREATE.TURNS.generate"),
        ("dispatch", "$JS.API.CONSUMER.DELETE.TURNS.generate"),
        ("setup", "$JS.API.CONSUMER.DURABLE.CREATE.VIDEOS.webhook-acme"),
        ("setup", "$JS.API.CONSUMER.DELETE.VIDEOS.webhook-acme"),
        ("generate", "kinora.videos.default.v1.deleted"),
        ("generate", "$JS.API.CONSUMER.MSG.NEXT.TURNS.generate"),
        ("forward", "$JS.ACK.TURNS.generate.1.1.1.1.0"),
        ("setup", "kinora.requests.default.v1"),
        *((user, "$SYS.REQ.USER.INFO") for user in USERS if user != "operator"),
        *((user, "$JS.API.STREAM.DELETE.VIDEOS") for user in USERS if user != "operator"),
        *((user, "$JS.API.STREAM.DELETE.REQUESTS") for user in USERS if user != "operator"),
    ],
)
def test_functions_may_not_use_others_subjects(
    guarded: NatsUsersStack, user: str, subject: str
) -> None:
    """A compromised function can't act as another."""
    assert "permissions violation" in _refusal(guarded, user, subject, subscribe=False)


@pytest.mark.parametrize("user", [user for user in USERS if user != "operator"])
@pytest.mark.parametrize("subject", ["kinora.>", "_INBOX.>", "$JS.>"])
def test_no_user_may_subscribe_to_others_subjects(
    guarded: NatsUsersStack, user: str, subject: str
) -> None:
    """Prompts and replies reach only the functions that they are for."""
    assert "permissions violation" in _refusal(guarded, user, subject, subscribe=True)


def _refusal(stack: NatsUsersStack, user: str, subject: str, *, subscribe: bool) -> str:
    """The server's error when `user` publishes or subscribes without permission."""

    async def act() -> str:
        errors: asyncio.Queue[str] = asyncio.Queue()

        async def record(problem: Exception) -> None:
            errors.put_nowait(str(problem))

        client = await nats.connect(**client_options(stack.nats_url_of(user)), error_cb=record)
        if subscribe:
            await client.subscribe(subject)
        else:
            await client.publish(subject, b"{}")
        try:
            return await asyncio.wait_for(errors.get(), 5)
        finally:
            await client.close()

    return asyncio.run(act())


def test_connections_without_a_valid_password_are_refused(guarded: NatsUsersStack) -> None:
    """Without a user, or with a wrong password."""
    wrong = guarded.nats_url.replace("nats://", "nats://submit:wrong@")
    for url in (guarded.nats_url, wrong):
        bus = JetStream(url)
        try:
            with pytest.raises(Unavailable):
                bus.check()
        finally:
            bus.close()
