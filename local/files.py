"""The servers' credentials and configuration in the data folder, written at each start.

Only the credentials are kept from one start to the next; the configuration follows the settings.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from local.stack import Stack


@dataclass(frozen=True)
class Credentials:
    """The object store's keys: random, created at the first start and kept with its data."""

    access_key: str
    secret_key: str


def prepare(stack: Stack) -> Credentials:
    """Create the data folder and all files that the servers of `stack` read.

    Raises:
        OSError: the data folder can't be written.
    """
    for folder in ("nats", "s3", "caddy", "logs"):
        # Prompts and videos are private.
        (stack.data / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    stack.data.chmod(0o700)
    shutil.rmtree(stack.data / "tmp", ignore_errors=True)
    (stack.data / "tmp").mkdir(mode=0o700)
    credentials = _credentials(stack.data / "credentials.json")
    _write_private(stack.data / "s3.json", json.dumps(_s3_config(credentials), indent=2))
    _write_private(stack.data / "nats.conf", _nats_config(stack))
    return credentials


def _credentials(path: Path) -> Credentials:
    if path.exists():
        return Credentials(**json.loads(path.read_text()))
    made = Credentials(access_key=secrets.token_hex(10), secret_key=secrets.token_hex(20))
    _write_private(path, json.dumps(asdict(made), indent=2))
    return made


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, atomically."""
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def _s3_config(credentials: Credentials) -> dict[str, object]:
    """Define one identity: weed then refuses all others, anonymous callers included."""
    keys = {"accessKey": credentials.access_key, "secretKey": credentials.secret_key}
    return {"identities": [{"name": "kinora", "credentials": [keys], "actions": ["Admin"]}]}


def _nats_config(stack: Stack) -> str:
    return f"""\
listen: "127.0.0.1:{stack.ports["nats"]}"
server_name: kinora-local
jetstream {{
  store_dir: {json.dumps(str(stack.data / "nats"), ensure_ascii=False)}
  # An acknowledged event is on the disk, as one server has no other copy of it.
  sync_interval: always
  # The streams have limits of their own. The default, a share of the free disk, would refuse the
  # size that REQUESTS reserves when the disk is nearly full.
  max_file_store: 1TB
}}
"""
