"""Callers by every entrance, who keep account of what they were told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import nats.errors
import requests

from tests.e2e.faults.plan import Submission
from tests.e2e.faults.poison import STRUCTURED, TYPE
from tests.e2e.faults.stack import KEYS
from tests.e2e.faults.streams import Streams
from tests.patience import scaled

TRIES: Final = 8
# More than `submit` takes to say that it does not know.
CONNECT_SECONDS: Final = 3.0
READ_SECONDS: Final = 20.0
NOT_NOW: Final = frozenset({429, 500, 502, 503, 504})


@dataclass
class Told:
    """One request for a video, and everything its caller was told about it.

    Attributes:
        nonce: the last word of the prompt, by which the request is found again.
        entrance: how it was sent.
        fields: what was asked for beside the prompt.
        outcome: `accepted`; `refused`, by `submit` itself, so it must never run; or `doubt`.
        at: when that was said, in seconds since the epoch.
        repeatable: sent with an id that makes a repetition harmless.
        ended: what a `cancel` or `delete` was answered: None if nobody asked, `doubt` without an
            answer, else `deleted`, or the video's error code or state.
        asked: which of the two it was.
        foreign: the statuses with which another account's attempts were answered.
    """

    nonce: str
    account: str
    entrance: str
    repeatable: bool
    fields: dict[str, Any]
    outcome: str = "doubt"
    video_id: str | None = None
    at: float = 0.0
    ended: str | None = None
    asked: str = "none"
    foreign: list[int] = field(default_factory=list)

    def settle(self, outcome: str, video_id: str | None = None) -> None:
        """Note what was said, now."""
        self.outcome, self.video_id, self.at = outcome, video_id, time.time()


class Callers:
    """Sends what a plan says. Safe to use from any thread."""

    def __init__(self, url: str, streams: Streams, *, tries: int = TRIES) -> None:
        """Speak HTTP to `url`, and NATS by way of `streams`; try everything so often at most."""
        self._max_tries = tries
        self.url: Final = url
        self._streams = streams
        self._pause = threading.Event()

    def run(self, submission: Submission) -> list[Told]:
        """Ask for one video, do what follows, and return what was told about each try."""
        entrances = {
            "http": self._http,
            "http with key": self._http_with_key,
            "cloudevent": self._cloudevent,
            "nats": self._nats,
            "poison": self._poison,
        }
        told = entrances[submission.entrance](submission)
        newest = told[-1]
        if newest.outcome == "accepted" and submission.follow_up != "none":
            self._pause.wait(submission.follow_after)
            {"cancel": self.cancel, "delete": self.delete, "foreign": self.intrude}[
                submission.follow_up
            ](newest)
        return told

    def _http(self, submission: Submission) -> list[Told]:
        """Each repetition is another video; the ones before must never run."""
        found: list[Told] = []
        for number in self._tries():
            told = _told(submission, repeatable=False, suffix=f"t{number}")
            found.append(told)
            answer = self._send("POST", "/v1/videos", told, json=_body(told))
            if answer is not None:
                told.settle(*_reading(answer))
                if answer.status_code not in NOT_NOW:
                    break
        return found

    def _http_with_key(self, submission: Submission) -> list[Told]:
        told = _told(submission)
        headers = {"idempotency-key": told.nonce}
        for _ in self._tries():
            answer = self._send("POST", "/v1/videos", told, json=_body(told), headers=headers)
            if answer is not None and answer.status_code not in NOT_NOW:
                told.settle(*_reading(answer))
                break
        return [told]

    def _cloudevent(self, submission: Submission) -> list[Told]:
        told = _told(submission)
        document = {**_event(told), "subject": f"ce-{told.nonce}"}
        headers, body = STRUCTURED, json.dumps(document)
        if len(told.nonce) % 2:
            headers = {f"ce-{name}": str(document[name]) for name in document if name != "data"}
            headers, body = {**headers, "content-type": "application/json"}, json.dumps(_body(told))
        for _ in self._tries():
            answer = self._send("POST", "/", told, data=body, headers=headers)
            if answer is not None and answer.status_code not in NOT_NOW:
                accepted = answer.status_code == requests.codes.accepted
                told.settle("accepted" if accepted else "refused", f"ce-{told.nonce}")
                break
        return [told]

    def _nats(self, submission: Submission) -> list[Told]:
        told = _told(submission)
        payload = json.dumps(_event(told)).encode()
        self._publish(told, f"nats-{told.nonce}", payload, STRUCTURED)
        return [told]

    def _poison(self, submission: Submission) -> list[Told]:
        poison = submission.poison
        assert poison is not None
        told = _told(submission)
        told.entrance = "dropped" if poison.dropped else "poison"
        token = poison.token.format(f"poison-{told.nonce}")
        self._publish(told, token, poison.payload, poison.headers)
        return [told]

    def _publish(
        self, told: Told, token: str, payload: bytes, headers: dict[str, str] | None
    ) -> None:
        for _ in self._tries():
            try:
                self._streams.publish(f"kinora.requests.{told.account}.{token}", payload, headers)
            except (nats.errors.Error, OSError, TimeoutError):
                continue
            told.settle("accepted", token)
            return

    def cancel(self, told: Told) -> None:
        """Cancel the video, again until an answer comes."""
        told.ended, told.asked = "doubt", "cancel"
        for _ in self._tries():
            answer = self._send("POST", f"/v1/videos/{told.video_id}/cancel", told)
            if answer is not None and answer.status_code not in NOT_NOW:
                told.ended = _state(answer)
                return

    def delete(self, told: Told) -> None:
        """Delete the video, again until an answer comes."""
        told.ended, told.asked = "doubt", "delete"
        for _ in self._tries():
            answer = self._send("DELETE", f"/v1/videos/{told.video_id}", told)
            if answer is not None and answer.status_code not in NOT_NOW:
                found = answer.status_code == requests.codes.ok and answer.json()["deleted"]
                told.ended = "deleted" if found else f"status {answer.status_code}"
                return

    def intrude(self, told: Told) -> None:
        """Try to read and to end the video with another account's key."""
        other = next(name for name in sorted(KEYS) if name != told.account)
        path = f"/v1/videos/{told.video_id}"
        attempts = [("GET", path), ("GET", f"{path}/content"), ("POST", f"{path}/cancel"),
                    ("DELETE", path)]  # fmt: skip
        for method, target in attempts:
            answer = self._send(method, target, told, account=other)
            if answer is not None and answer.status_code not in NOT_NOW:
                told.foreign.append(answer.status_code)

    def _send(
        self, method: str, path: str, told: Told, account: str | None = None, **fields: Any
    ) -> requests.Response | None:
        headers = fields.pop("headers", {})
        key = KEYS[account or told.account]
        try:
            return requests.request(
                method,
                self.url + path,
                headers={**headers, "authorization": f"Bearer {key}"},
                timeout=(scaled(CONNECT_SECONDS), scaled(READ_SECONDS)),
                **fields,
            )
        except requests.RequestException:
            return None  # cut off on the way: nobody knows what became of it

    def _tries(self) -> Iterator[int]:
        for number in range(self._max_tries):
            if number:
                self._pause.wait(min(0.25 * 2**number, 3))
            yield number


def _told(submission: Submission, *, repeatable: bool = True, suffix: str = "") -> Told:
    return Told(
        nonce=submission.nonce + suffix,
        account=submission.account,
        entrance=submission.entrance,
        repeatable=repeatable,
        fields=dict(submission.fields),
    )


def _body(told: Told) -> dict[str, Any]:
    return {"prompt": f"a red circle {told.nonce}", **told.fields}


def _event(told: Told) -> dict[str, Any]:
    return {"specversion": "1.0", "type": TYPE, "source": "/callers", "id": told.nonce,
            "data": _body(told)}  # fmt: skip


def _reading(answer: requests.Response) -> tuple[str, str | None]:
    if answer.status_code == requests.codes.accepted:
        return "accepted", answer.json()["id"]
    # The gateway's own 503 says that `submit` is away, and nothing about what it did before.
    by_submit = answer.headers.get("x-request-id", "").startswith("req_")
    return ("refused" if by_submit else "doubt"), None


def _state(answer: requests.Response) -> str:
    if answer.status_code != requests.codes.ok:
        return f"status {answer.status_code}"
    video = answer.json()
    return (video.get("error") or {}).get("code") or str(video["status"])
