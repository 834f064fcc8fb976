"""A stand-in for the Hugging Face hub, with one repository."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

COMMIT = "a" * 40


@dataclass
class Hub:
    """A repository of one model.

    Attributes:
        files: the contents, by name.
        interrupt: the name of a file whose first download is interrupted in the middle.
        corrupt: how many more times each file is sent with a wrong byte.
        ranges: the ranges that were requested.
        sent: how many times each file was requested.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    interrupt: str | None = None
    corrupt: Counter[str] = field(default_factory=Counter)
    ranges: list[str] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)

    def listing(self) -> dict[str, Any]:
        """The hub's description of the files."""
        siblings = []
        for name, data in self.files.items():
            entry: dict[str, Any] = {"rfilename": name, "size": len(data)}
            git = hashlib.sha1(f"blob {len(data)}\0".encode() + data, usedforsecurity=False)
            entry["blobId"] = git.hexdigest()
            if len(data) > 1 << 16:
                sha256 = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 130}
            siblings.append(entry)
        return {"id": "genmo/mochi-1-preview", "sha": COMMIT, "siblings": siblings}


class HubHandler(BaseHTTPRequestHandler):
    """The two kinds of URL that a download requests."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        """Send a file's headers."""
        self._answer(body=False)

    def do_GET(self) -> None:
        """Send a file."""
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/"):
            self._send(200, json.dumps(self.hub.listing()).encode(), {}, body=body)
            return
        name = path.partition(f"/resolve/{COMMIT}/")[2]
        data = self.hub.files.get(name)
        if data is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, body=body)
        else:
            self._file(name, data, body=body)

    def _file(self, name: str, data: bytes, *, body: bool) -> None:
        etag = hashlib.sha256(data).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if body:
            self.hub.sent[name] += 1
            if self.hub.corrupt[name] > 0:
                self.hub.corrupt[name] -= 1
                data = bytes([data[0] ^ 1]) + data[1:]
        requested = self.headers.get("range")
        if requested is None or not body:
            self._send(200, data, headers, body=body, cut=body and name == self.hub.interrupt)
            return
        self.hub.ranges.append(requested)
        start = int(requested.removeprefix("bytes=").partition("-")[0])
        headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._send(206, data[start:], headers, body=body)

    def _send(
        self,
        status: int,
        data: bytes,
        headers: dict[str, str],
        *,
        body: bool,
        cut: bool = False,
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if cut:
            self.hub.interrupt = None
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif body:
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
