"""The functions as the cluster runs them: their images' commands, their manifests' environment."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import requests

from local.files import Credentials
from local.processes import Process
from tests.dockerfiles import copy_into, read_image
from tests.e2e.client import Client
from tests.manifests import KNATIVE, Manifest, container_of, environment, find
from tests.nats_users import NatsUsersStack
from tests.patience import scaled

PARTS = ("submit", "status", "dispatch", "generate", "ui")


class ManifestStack(NatsUsersStack):
    """Local servers, and everything else as the overlay `kind` runs it, each from a clean folder.

    Addresses are replaced, and Knative's activator by the local stack's.
    """

    def __init__(
        self,
        folder: Path,
        *,
        passwords: Mapping[str, str] | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        """Nothing is started yet.

        The Secrets `nats` and `s3` are `passwords` and `credentials`, random ones if not given.
        """
        overlay = KNATIVE / "overlays" / "kind"
        super().__init__(folder, manifests=overlay, passwords=passwords)
        self.credentials = credentials or self.credentials
        self.table["s3"] = self._store(self.table["s3"])
        self.table["ui"] = replace(self.table.pop("gateway"), name="ui")
        for name, process in self.table.items():
            part = name.partition("-")[0]
            if part in PARTS:
                self.table[name] = self.deployed(process, part)

    def _store(self, process: Process) -> Process:
        """The object store as its manifest starts it, on this machine's ports and disk."""
        manifest = find(self.objects, "StatefulSet", "s3")["spec"]["template"]["spec"]
        (container,) = manifest["containers"]
        ports = self.stack.ports
        parts = ("master", "volume", "filer", "s3")
        changes = [f"-{part}.port={ports[part]}" for part in parts]
        changes += [f"-{part}.port.grpc={ports[f'{part}-grpc']}" for part in parts]
        changes += [f"-dir={self.stack.data / 's3'}", "-s3.ip.bind=127.0.0.1"]
        path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        env = self.resolved(environment(self.objects, container)) | path
        return replace(process, argv=[*container["command"], *changes], env=env)

    def deployed(self, process: Process, part: str) -> Process:
        """The process as its image starts it; in this class, from a folder of its own."""
        image = read_image(part)
        folder = self.stack.data / "clean" / process.name
        copy_into(part, folder)

        def here(text: str) -> str:
            return re.sub(rf"^{image.folder}(?=/|$)", str(folder), text)

        env = {name: here(value) for name, value in image.env.items()}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return replace(
            process,
            argv=[here(word) for word in image.entrypoint],
            env={**env, **self.environment_of(process, part), "PATH": path},
            cwd=folder,
        )

    def environment_of(self, process: Process, part: str) -> dict[str, str]:
        """The variables of the part's manifest, with the addresses of this machine."""
        return {
            **self.resolved(environment(self.objects, container_of(self.objects, part))),
            # Knative sets it.
            "PORT": str(process.probe.port),
            "K_SINK": process.env.get("K_SINK", ""),
            "SUBMIT_UPSTREAM": process.env.get("SUBMIT_UPSTREAM", ""),
            "STATUS_UPSTREAM": process.env.get("STATUS_UPSTREAM", ""),
        }

    def resolved(self, variables: Mapping[str, str]) -> dict[str, str]:
        """What Kubernetes makes of the manifests' variables, with this machine's addresses."""
        found = {
            "AWS_ACCESS_KEY_ID": self.credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": self.credentials.secret_key,
        }
        for name, value in variables.items():
            if value.startswith("nats/"):
                found[name] = self.passwords[value.removeprefix("nats/")]
            elif name != "s3/*":
                found[name] = value
        for name, value in found.items():
            text = re.sub(r"\$\((\w+)\)", lambda known: found[known[1]], value)
            text = text.replace("nats:4222", self.nats_url.removeprefix("nats://"))
            text = text.replace("http://s3:8333", f"http://127.0.0.1:{self.stack.ports['s3']}")
            # The pod's address in a container; the loopback address here.
            found[name] = "127.0.0.1" if name == "HOST" else text
        return found

    def set_up(self) -> None:
        """Run the Job `set-up`."""
        self.run_to_the_end(self.job("set-up", "submit"))

    def job(self, name: str, part: str) -> Process:
        """A Job's process: the image of `part` with the command of the Job."""
        manifest: Manifest = find(self.objects, "Job", name)
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        process = self.deployed(replace(self.table["submit"], name=name), part)
        variables = self.resolved(environment(self.objects, container))
        return self.with_command(process, container["command"], variables)

    def with_command(
        self, process: Process, command: list[str], variables: Mapping[str, str]
    ) -> Process:
        """The process with another start command and other variables."""
        return replace(process, argv=command, env={**process.env, **variables})


def assert_a_video_goes_through(url: str, *, seconds: float) -> None:
    """From the form's API to frames that can be decoded; and the page is there."""
    client = Client(url)
    made = client.create(prompt="a red circle moving right")
    video = client.wait(made["id"], "completed", "failed", seconds=seconds)
    assert video["status"] == "completed", video
    assert client.frames(made["id"]).shape == (25, 64, 96, 3)
    assert "<html" in requests.get(url, timeout=scaled(10)).text
