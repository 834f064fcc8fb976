"""Callers on every interface, which record the answers that they get."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any, Final

import nats.errors
import requests

from tests.e2e.faults.caller_record import CallerRecord
from tests.e2e.faults.poison import STRUCTURED, TYPE
from tests.e2e.faults.schedule import Submission
from tests.e2e.faults.stack import KEYS
from tests.e2e.faults.streams import Streams
from tests.patience import scaled

TRIES: Final = 8
# Longer than `submit` takes to answer that the outcome is unknown.
CONNECT_SECONDS: Final = 3.0
READ_SECONDS: Final = 20.0
RETRIABLE: Final = frozenset({429, 500, 502, 503, 504})


class Callers:
    """Sends the submissions of a schedule. Thread-safe."""

    def __init__(self, url: str, streams: Streams, *, tries: int = TRIES) -> None:
        """Send HTTP to `url` and NATS through `streams`, with at most `tries` tries each."""
        self._max_tries = tries
        self.url: Final = url
        self._streams = streams
        self._pause = threading.Event()

    def run(self, submission: Submission) -> list[CallerRecord]:
        """Request one video, send its follow-up, and return a record for each try."""
        interfaces = {
            "http": self._http,
            "http with key": self._http_with_key,
            "cloudevent": self._cloudevent,
            "nats": self._nats,
            "poison": self._poison,
        }
        records = interfaces[submission.interface](submission)
        newest = records[-1]
        if newest.outcome == "accepted" and submission.follow_up != "none":
            self._pause.wait(submission.follow_after)
            {"cancel": self.cancel, "delete": self.delete, "foreign": self.intrude}[
                submission.follow_up
            ](newest)
        return records

    def _http(self, submission: Submission) -> list[CallerRecord]:
        """Each retry requests another video; the earlier ones must never run."""
        records: list[CallerRecord] = []
        for number in self._tries():
            record = _new_record(submission, idempotent=False, suffix=f"t{number}")
            records.append(record)
            answer = self._send("POST", "/v1/videos", record, json=_body(record))
            if answer is not None:
                record.set_outcome(*_outcome(answer))
                if answer.status_code not in RETRIABLE:
                    break
        return records

    def _http_with_key(self, submission: Submission) -> list[CallerRecord]:
        record = _new_record(submission)
        headers = {"idempotency-key": record.nonce}
        for _ in self._tries():
            answer = self._send("POST", "/v1/videos", record, json=_body(record), headers=headers)
            if answer is not None and answer.status_code not in RETRIABLE:
                record.set_outcome(*_outcome(answer))
                break
        return [record]

    def _cloudevent(self, submission: Submission) -> list[CallerRecord]:
        record = _new_record(submission)
        document = {**_event(record), "subject": f"ce-{record.nonce}"}
        headers, body = STRUCTURED, json.dumps(document)
        if len(record.nonce) % 2:
            headers = {f"ce-{name}": str(document[name]) for name in document if name != "data"}
            headers, body = (
                {**headers, "content-type": "application/json"},
                json.dumps(_body(record)),
            )
        for _ in self._tries():
            answer = self._send("POST", "/", record, data=body, headers=headers)
            if answer is not None and answer.status_code not in RETRIABLE:
                accepted = answer.status_code == requests.codes.accepted
                record.set_outcome("accepted" if accepted else "refused", f"ce-{record.nonce}")
                break
        return [record]

    def _nats(self, submission: Submission) -> list[CallerRecord]:
        record = _new_record(submission)
        payload = json.dumps(_event(record)).encode()
        self._publish(record, f"nats-{record.nonce}", payload, STRUCTURED)
        return [record]

    def _poison(self, submission: Submission) -> list[CallerRecord]:
        poison = submission.poison
        assert poison is not None
        record = _new_record(submission)
        record.interface = "dropped" if poison.dropped else "poison"
        token = poison.token.format(f"poison-{record.nonce}")
        self._publish(record, token, poison.payload, poison.headers)
        return [record]

    def _publish(
        self, record: CallerRecord, token: str, payload: bytes, headers: dict[str, str] | None
    ) -> None:
        for _ in self._tries():
            try:
                self._streams.publish(f"kinora.requests.{record.account}.{token}", payload, headers)
            except (nats.errors.Error, OSError, TimeoutError):
                continue
            record.set_outcome("accepted", token)
            return

    def cancel(self, record: CallerRecord) -> None:
        """Cancel the video, and retry until there is an answer."""
        record.follow_up, record.follow_up_result = "cancel", "unknown"
        for _ in self._tries():
            answer = self._send("POST", f"/v1/videos/{record.video_id}/cancel", record)
            if answer is not None and answer.status_code not in RETRIABLE:
                record.follow_up_result = _status(answer)
                return

    def delete(self, record: CallerRecord) -> None:
        """Delete the video, and retry until there is an answer."""
        record.follow_up, record.follow_up_result = "delete", "unknown"
        for _ in self._tries():
            answer = self._send("DELETE", f"/v1/videos/{record.video_id}", record)
            if answer is not None and answer.status_code not in RETRIABLE:
                found = answer.status_code == requests.codes.ok and answer.json()["deleted"]
                record.follow_up_result = "deleted" if found else f"status {answer.status_code}"
                return

    def intrude(self, record: CallerRecord) -> None:
        """Try to read, cancel and delete the video with another account's key."""
        other_account = next(name for name in sorted(KEYS) if name != record.account)
        path = f"/v1/videos/{record.video_id}"
        attempts = [("GET", path), ("GET", f"{path}/content"), ("POST", f"{path}/cancel"),
                    ("DELETE", path)]  # fmt: skip
        for method, target in attempts:
            answer = self._send(method, target, record, account=other_account)
            if answer is not None and answer.status_code not in RETRIABLE:
                record.foreign_statuses.append(answer.status_code)

    def _send(
        self,
        method: str,
        path: str,
        record: CallerRecord,
        account: str | None = None,
        **fields: Any,
    ) -> requests.Response | None:
        headers = fields.pop("headers", {})
        key = KEYS[account or record.account]
        try:
            return requests.request(
                method,
                self.url + path,
                headers={**headers, "authorization": f"Bearer {key}"},
                timeout=(scaled(CONNECT_SECONDS), scaled(READ_SECONDS)),
                **fields,
            )
        except requests.RequestException:
            return None  # the connection was lost: the outcome is unknown

    def _tries(self) -> Iterator[int]:
        for number in range(self._max_tries):
            if number:
                self._pause.wait(min(0.25 * 2**number, 3))
            yield number


def _new_record(
    submission: Submission, *, idempotent: bool = True, suffix: str = ""
) -> CallerRecord:
    return CallerRecord(
        nonce=submission.nonce + suffix,
        account=submission.account,
        interface=submission.interface,
        idempotent=idempotent,
        fields=dict(submission.fields),
    )


def _body(record: CallerRecord) -> dict[str, Any]:
    return {"prompt": f"a red circle {record.nonce}", **record.fields}


def _event(record: CallerRecord) -> dict[str, Any]:
    return {"specversion": "1.0", "type": TYPE, "source": "/callers", "id": record.nonce,
            "data": _body(record)}  # fmt: skip


def _outcome(answer: requests.Response) -> tuple[str, str | None]:
    if answer.status_code == requests.codes.ok:
        return "accepted", answer.json()["id"]
    # A 503 of the gateway itself does not tell what `submit` did before it became unavailable.
    by_submit = answer.headers.get("x-request-id", "").startswith("req_")
    return ("refused" if by_submit else "unknown"), None


def _status(answer: requests.Response) -> str:
    if answer.status_code != requests.codes.ok:
        return f"status {answer.status_code}"
    video = answer.json()
    return (video.get("error") or {}).get("code") or str(video["status"])
