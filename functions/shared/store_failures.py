"""What a failed request to the object store means, in words that say what to correct."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
    SSLError,
)

# By the codes of S3's error responses. `{bucket}` is the bucket's name.
_BY_CODE: Final = {
    "RequestTimeTooSkewed": "refuses this machine's clock, which differs too much from its own."
    " Correct the clock",
    "SignatureDoesNotMatch": "refuses the signature. AWS_SECRET_ACCESS_KEY is wrong",
    "InvalidAccessKeyId": "does not know the key in AWS_ACCESS_KEY_ID",
    "ExpiredToken": "refuses the session token, which has expired",
    "AccessDenied": "denies access to the bucket {bucket}: there is none, or its policy does not"
    " let these keys get, put, delete and list objects",
    "NoSuchBucket": "has no bucket {bucket}. `python -m functions.setup` creates it",
}
# By the errors for which there was no response.
_BY_ERROR: Final[tuple[tuple[type[Exception], str], ...]] = (
    (NoCredentialsError, "needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which are not set"),
    (PartialCredentialsError, "needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; one is not set"),
    (SSLError, "does not speak TLS, or its certificate is not trusted. Check S3_ENDPOINT"),
    (ConnectionRefusedError, "refuses connections: it is not running, or S3_ENDPOINT is wrong"),
    (socket.gaierror, "can't be found: no address is known for the name in S3_ENDPOINT"),
    (ConnectTimeoutError, "can't be reached: a connection to it takes too long"),
    (ReadTimeoutError, "does not answer in time"),
)


def error_code(error: ClientError) -> str:
    """The code in S3's response; of a response without a body, such as to HEAD, its status."""
    return str(error.response.get("Error", {}).get("Code"))


def describe(error: ClientError | BotoCoreError, bucket: str) -> str:
    """A sentence about the failure of a request to `bucket`."""
    if isinstance(error, ClientError):
        meaning = _BY_CODE.get(error_code(error))
    else:
        causes = tuple(_causes(error))
        found = (words for kind, words in _BY_ERROR if any(isinstance(c, kind) for c in causes))
        meaning = next(found, None)
    if meaning is None:
        return f"The object store does not answer: {error}"
    return f"The object store {meaning.format(bucket=bucket)}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from: botocore and urllib3 wrap the socket's error."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
