"""NATS as it runs in the cluster: the configuration of `knative/`, a user for each function."""

from __future__ import annotations

import re
import secrets
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from local.processes import Process
from local.stack import ROOT
from tests.harness import RunningStack
from tests.manifests import KNATIVE, Manifest, environment, expanded, find, nats_files, render
from tests.ports import free_ports

BASE = ROOT / "knative" / "base" / "nats"
SINGLE = KNATIVE / "overlays" / "kind"
THREE = KNATIVE / "base"
USERS = ("submit", "status", "dispatch", "generate", "forward", "setup", "operator")

# Of nats-server's trace: what a user publishes and subscribes to.
_USED = re.compile(r'"\w+/user:(\w+)" - <<- \[(H?PUB|SUB) (\S+)')
_USER = re.compile(r"^ +user: (\w+)$(.*?)^    }]$", re.MULTILINE | re.DOTALL)
_LIST = re.compile(r"(publish|subscribe): (?:{allow: )?\[(.*?)\]$", re.MULTILINE | re.DOTALL)
_ACCOUNT = re.compile(r"^  (\w+) \{$(.*?)^  }$", re.MULTILINE | re.DOTALL)
_SERVICE = re.compile(r'{service: {account: KINORA, subject: "([^"]+)"}}')


def permissions() -> dict[tuple[str, str], list[str]]:
    """What `users.conf` allows: `(user, verb)` -> subjects, with wildcards.

    Of these it denies some to `dispatch`.
    """
    text = (BASE / "users.conf").read_text()
    return {
        (user[1], allowed[1]): re.findall(r'"([^"]+)"', allowed[2])
        for user in _USER.finditer(text)
        for allowed in _LIST.finditer(user[2])
    }


def accounts() -> dict[str, str]:
    """The text of each account in `users.conf`, by its name."""
    text = (BASE / "users.conf").read_text()
    return {account[1]: account[2] for account in _ACCOUNT.finditer(text)}


def imported(account: str) -> list[str]:
    """What an account imports from that of the streams: the subjects where its requests arrive."""
    return _SERVICE.findall(accounts()[account])


def matches(pattern: str, subject: str) -> bool:
    """Return whether a subject with wildcards matches one without, by NATS' rules."""
    tokens = [re.escape(token) for token in pattern.split(".")]
    tokens = [{r"\*": r"[^.]+", ">": r".+"}.get(token, token) for token in tokens]
    return re.fullmatch(r"\.".join(tokens), subject) is not None


class NatsUsersStack(RunningStack):
    """A stack whose NATS has a user with minimal permissions for each function."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        *,
        replicas: int = 1,
        clustered: bool = False,
        traced: bool = True,
        manifests: Path | None = None,
        passwords: Mapping[str, str] | None = None,
    ) -> None:
        """As `RunningStack`; if `traced`, the servers log what their clients do.

        `manifests` is the folder whose rendered objects configure the servers: an overlay with one
        server, or with three if `clustered`. `passwords` are the Secret `nats`, or random.
        """
        super().__init__(folder, settings, replicas=replicas, clustered=clustered)
        self._traced = traced
        self.objects: list[Manifest] = render(manifests or (THREE if clustered else SINGLE))
        # A value that begins with a digit would be read as a number.
        self.passwords = dict(
            passwords or {user: f"p{secrets.token_hex(8)}" for user in (*USERS, "route")}
        )
        routes = free_ports(len(self.nats_servers)) if clustered else []
        for number, server in enumerate(self.nats_servers):
            self.table[server.name] = self._guarded(server, routes, number)
        for name, process in self.table.items():
            user = name.partition("-")[0]
            if process.role == "function":
                env = {**process.env, "NATS_URL": self.nats_url_of(user)}
                self.table[name] = replace(process, env=env)
        (container,) = find(self.objects, "Job", "set-up")["spec"]["template"]["spec"]["containers"]
        self._changes["STREAM_REPLICAS"] = environment(self.objects, container)["STREAM_REPLICAS"]
        self._changes["NATS_URL"] = self.nats_url_of("setup")

    def nats_url_of(self, user: str) -> str:
        """What NATS_URL is for `user`."""
        password = self.passwords[user]
        return self.nats_url.replace("nats://", f"nats://{user}:{password}@")

    def _guarded(self, server: Process, routes: list[int], number: int) -> Process:
        """A pod of the StatefulSet: its files and variables, on this machine's ports."""

        def here(text: str) -> str:
            for peer, port in enumerate(routes):
                text = text.replace(f"nats-{peer}.nats:6222", f"127.0.0.1:{port}")
            return text

        folder = self.stack.data / f"{server.name}-config"
        folder.mkdir()
        listen = f'host: "127.0.0.1", port: {routes[number]}' if routes else ""
        for name, text in nats_files(self.objects).items():
            (folder / name).write_text(here(text).replace("port: 6222", listen))
        pod = find(self.objects, "StatefulSet", "nats")["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        # The differences on one machine; everything else is as in the cluster.
        changes = ["-a", "127.0.0.1", "-p", str(server.probe.port)]
        changes += ["-P", str(folder / "pid"), "-m", str(free_ports(1)[0])]
        changes += ["-V"] if self._traced else []
        words = {f"nats/{user}": word for user, word in self.passwords.items()}
        variables = expanded(environment(self.objects, container), words)
        changed = {"POD_NAME": server.name, "STORE_DIR": str(folder / "data")}
        return replace(
            server,
            argv=[server.argv[0], "-c", str(folder / "nats.conf"), *changes],
            env={**server.env, **{n: here(value) for n, value in variables.items()}, **changed},
        )

    def pre_stop(self, name: str) -> None:
        """Run the hook that the kubelet runs before it stops the pod, if there is one."""
        pod = find(self.objects, "StatefulSet", "nats")["spec"]["template"]["spec"]
        hooks = pod["containers"][0].get("lifecycle", {})
        if "preStop" in hooks:
            (program, *words) = hooks["preStop"]["exec"]["command"]
            assert program == "nats-server"
            pid = str(self.stack.data / f"{name}-config" / "pid")
            words = [word.replace("/run/nats/nats.pid", pid) for word in words]
            subprocess.run([self.nats_servers[0].argv[0], *words], check=True)

    def used_subjects(self) -> dict[tuple[str, str], set[str]]:
        """Every subject that a user has published to or subscribed to: `(user, verb)` -> subjects.

        Only of servers that are traced.

        The verb is `publish` or `subscribe`.
        """
        used: dict[tuple[str, str], set[str]] = defaultdict(set)
        for server in self.nats_servers:
            for act in _USED.finditer(self.stack.log_of(server.name).read_text()):
                verb = "subscribe" if act[2] == "SUB" else "publish"
                used[act[1], verb].add(act[3])
        return used
