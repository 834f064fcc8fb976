"""What the file of accounts may say, in TOML, and what it says.

An unknown field is an error rather than ignored: it may be a misspelt limit.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails

from functions.shared.accounts.endpoints import Endpoint, check_url, secret_bytes
from functions.shared.subjects import is_token
from functions.shared.unknown_names import describe_unknown

_STANDARD_INPUT: Final = "-"
Role = Literal["operator"]


def _check_account_name(name: str) -> str:
    if name == _STANDARD_INPUT:
        raise ValueError("an account can't be called '-': write its name")
    if not is_token(name):
        raise ValueError("an account's name is 1 to 64 letters, digits, '_' or '-'")
    return name


def _check_url(url: str, info: ValidationInfo) -> str:
    check_url(url, plain_http=(info.context or {}).get("plain_http", True))
    return url


def _check_secret(secret: str) -> str:
    secret_bytes(secret)
    return secret


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class KeyEntry(_Part):
    """An API key: its digest, a name by which people refer to it, and when it stops working.

    With the role `operator`, it may also read what all accounts used.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_.@-]{1,64}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    expires: AwareDatetime | None = None
    role: Role | None = None


class WebhookEntry(_Part):
    """An endpoint, and the secrets that sign what it gets."""

    url: Annotated[str, AfterValidator(_check_url)] = Field(repr=False)
    secrets: list[Annotated[str, AfterValidator(_check_secret)]] = Field(min_length=1, repr=False)


class AccountEntry(_Part):
    """One account. A limit that it does not have is that of the settings."""

    keys: list[KeyEntry] = []
    webhooks: list[WebhookEntry] = []
    max_queued: int | None = Field(None, ge=1)
    # At the ends, ten thousand to one, the other account waits for days.
    weight: float = Field(1.0, ge=0.01, le=100)
    max_running: int | None = Field(None, ge=1)
    requests_per_second: float | None = Field(None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _check_names(self) -> AccountEntry:
        for what, names in (
            ("keys have the same name", [key.name for key in self.keys]),
            ("webhooks have the same url", [webhook.url for webhook in self.webhooks]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"two {what}")
        return self


@dataclass(frozen=True)
class KeyHolder:
    """Whose key it is, when it stops working, and what else it may do."""

    account: str
    expires: datetime | None
    role: Role | None = None


class AccountsDocument(_Part):
    """All accounts. Without `keys_required`, anyone may use the account `default`."""

    keys_required: bool = True
    # Required: a file that is empty, or cut off at its start, must not lock every caller out.
    accounts: dict[Annotated[str, AfterValidator(_check_account_name)], AccountEntry]

    @model_validator(mode="after")
    def _check_keys(self) -> AccountsDocument:
        seen: dict[str, str] = {}
        for name, account in self.accounts.items():
            for number, key in enumerate(account.keys):
                path = f"accounts.{name}.keys[{number}].sha256"
                if not self.keys_required:
                    raise ValueError(f"{path}: has no effect, because keys_required is false")
                if key.sha256 in seen:
                    raise ValueError(f"{path}: is the same as {seen[key.sha256]}")
                seen[key.sha256] = path
        return self

    @classmethod
    def parse(cls, content: bytes, *, plain_http: bool = True) -> AccountsDocument:
        """Read the file's content; with `plain_http`, endpoints need no encryption.

        Raises:
            ValueError: it is not valid. The message, one line, names the place, and has nothing
                that is confidential.
        """
        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise ValueError("is not UTF-8") from None
        fields = tomllib.loads(text)
        try:
            return cls.model_validate(fields, context={"plain_http": plain_http})
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            raise ValueError(_describe(problem)) from None

    def account(self, name: str) -> AccountEntry:
        """An account, which need not be in the file: events from NATS may name any."""
        return self.accounts.get(name, AccountEntry())

    @cached_property
    def holders(self) -> dict[str, KeyHolder]:
        """The keys, by their digests."""
        return {
            key.sha256: KeyHolder(name, key.expires, key.role)
            for name, account in self.accounts.items()
            for key in account.keys
        }

    @cached_property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The webhook endpoints of all accounts."""
        return tuple(
            Endpoint(name, webhook.url, tuple(map(secret_bytes, webhook.secrets)))
            for name, account in self.accounts.items()
            for webhook in account.webhooks
        )


_FIELDS: Final = (
    *chain.from_iterable(
        part.model_fields for part in (AccountsDocument, AccountEntry, KeyEntry, WebhookEntry)
    ),
)


def _describe(problem: ErrorDetails) -> str:
    """Where a problem is, as TOML would name it, and what it is; pydantic quotes no value."""
    place = ""
    # pydantic adds `[key]` where the name of a table is the problem.
    for part in (part for part in problem["loc"] if part != "[key]"):
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else part
    if problem["type"] == "extra_forbidden":
        what = describe_unknown(str(problem["loc"][-1]), _FIELDS)
    elif problem["type"] == "value_error":
        what = str(problem["ctx"]["error"])
    else:
        what = problem["msg"]
    return f"{place}: {what}" if place else what
