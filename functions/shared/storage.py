"""The object store for the files of videos: any S3-compatible service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from functions.shared.config import Settings
from functions.shared.errors import NotFound, RangeNotSatisfiable, TooLarge, Unavailable
from functions.shared.store_failures import describe, error_code
from functions.shared.store_metrics import StoreMetrics
from functions.shared.timestamps import NANOSECONDS

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# Large enough for few reads, small enough that a slow client holds little memory.
CHUNK: Final = 256 << 10
# S3's limit for one request.
DELETE_BATCH: Final = 1000
# Written by `check_writes`. No video's key begins with a dot, so it is never taken for a file.
CHECK_KEY: Final = ".kinora/write-check"
# As far as S3 lets clocks differ: with less, a slow clock would sign what has already expired.
SIGNED_URL_SECONDS: Final = 900


@dataclass(frozen=True)
class StoredFile:
    """An object, or a range of one, that can be read once.

    `size` is the number of bytes in `chunks`; `content_range` is set for a range (RFC 9110, 14.4).
    """

    size: int
    etag: str
    chunks: Iterator[bytes]
    content_range: str | None = None


@dataclass(frozen=True)
class StoredObject:
    """An object's key, its modification time in nanoseconds since the epoch, and its bytes."""

    key: str
    modified: int
    size: int


class Store(Protocol):
    """A bucket.

    Every method raises `Unavailable` when the store does not answer, or refuses; its message says
    what to correct.
    """

    def put(self, key: str, path: Path, content_type: str) -> None:
        """Store the file at `path` under `key`."""

    def try_put(self, key: str, data: bytes, content_type: str) -> None:
        """Store `data`, a small object, under `key`; tries it once, for some 5 s."""

    def get(self, key: str, byte_range: str | None = None) -> StoredFile:
        """Open an object, or the range in `byte_range`, an HTTP `Range` header.

        Raises:
            NotFound: there is no such object.
            RangeNotSatisfiable: the range is outside the object.
        """

    def signed_url(self, key: str) -> str:
        """A URL from which anybody may GET the object for `SIGNED_URL_SECONDS`. Asks no server."""

    def read(self, key: str, *, max_bytes: int) -> bytes:
        """All of a small object.

        Raises:
            NotFound: there is no such object.
            TooLarge: it has more than `max_bytes`.
        """

    def delete(self, keys: Iterable[str]) -> None:
        """Delete these objects, if they exist."""

    def delete_prefix(self, prefix: str) -> None:
        """Delete all objects whose keys start with `prefix`."""

    def list_objects(self, prefix: str) -> Iterator[StoredObject]:
        """The objects whose keys start with `prefix`."""

    def check_writes(self) -> None:
        """Return if the store takes a small object, at `CHECK_KEY`; within some 5 s."""


class S3Store:
    """Implements `Store`. boto3 finds the credentials."""

    def __init__(
        self,
        bucket: str,
        *,
        endpoint: str | None,
        region: str,
        metrics: StoreMetrics | None = None,
    ) -> None:
        """Use `bucket`; `endpoint` is the store's URL, or None for Amazon's own."""
        self._bucket = bucket
        # Not the default session, which keeps the credentials that it found first.
        session = boto3.Session()

        def client(read_seconds: float, attempts: int) -> S3Client:
            created = session.client(
                "s3",
                endpoint_url=endpoint,
                region_name=region,
                config=_config(read_seconds, attempts),
            )
            if metrics is not None:
                metrics.observe(created)
            return created

        self._client = client(30, attempts=3)
        self._quick_client = client(3, attempts=1)

    @classmethod
    def from_settings(cls, settings: Settings, metrics: StoreMetrics | None = None) -> S3Store:
        """The store that the settings configure."""
        return cls(
            settings.s3_bucket,
            endpoint=settings.s3_endpoint,
            region=settings.s3_region,
            metrics=metrics,
        )

    def create_bucket(self) -> None:
        """Create the bucket if it does not exist."""
        try:
            self._client.create_bucket(Bucket=self._bucket)
        except ClientError as error:
            if error_code(error) not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise self._unavailable(error) from error
        except BotoCoreError as error:
            raise self._unavailable(error) from error

    def put(self, key: str, path: Path, content_type: str) -> None:
        """See `Store.put`."""
        # Not upload_file: its thread pool refuses work while the interpreter shuts down, which is
        # when a draining worker uploads its last video.
        try:
            with path.open("rb") as body:
                self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, ContentType=content_type
                )
        except (ClientError, BotoCoreError) as error:
            raise self._unavailable(error) from error

    def try_put(self, key: str, data: bytes, content_type: str) -> None:
        """See `Store.try_put`."""
        try:
            self._quick_client.put_object(
                Bucket=self._bucket, Key=key, Body=data, ContentType=content_type
            )
        except (ClientError, BotoCoreError) as error:
            raise self._unavailable(error) from error

    def get(self, key: str, byte_range: str | None = None) -> StoredFile:
        """See `Store.get`."""
        part: dict[str, Any] = {} if byte_range is None else {"Range": byte_range}
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key, **part)
        except ClientError as error:
            if error_code(error) in {"NoSuchKey", "NoSuchBucket", "404"}:
                raise NotFound from error
            if error_code(error) in {"InvalidRange", "416"}:
                raise RangeNotSatisfiable(self._size(key)) from error
            raise self._unavailable(error) from error
        except BotoCoreError as error:
            raise self._unavailable(error) from error
        return StoredFile(
            answer["ContentLength"],
            answer["ETag"],
            answer["Body"].iter_chunks(CHUNK),
            answer.get("ContentRange"),
        )

    def read(self, key: str, *, max_bytes: int) -> bytes:
        """See `Store.read`."""
        stored = self.get(key)
        if stored.size > max_bytes:
            raise TooLarge(f"{key} has {stored.size} bytes; at most {max_bytes} are read")
        try:
            return b"".join(stored.chunks)
        except BotoCoreError as error:
            raise self._unavailable(error) from error

    def _size(self, key: str) -> int:
        try:
            return self._client.head_object(Bucket=self._bucket, Key=key)["ContentLength"]
        except ClientError as error:
            if error_code(error) == "404":
                raise NotFound from error
            raise self._unavailable(error) from error
        except BotoCoreError as error:
            raise self._unavailable(error) from error

    def signed_url(self, key: str) -> str:
        """See `Store.signed_url`."""
        try:
            return self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self._bucket, "Key": key},
                ExpiresIn=SIGNED_URL_SECONDS,
            )
        except BotoCoreError as error:  # no credentials
            raise self._unavailable(error) from error

    def delete(self, keys: Iterable[str]) -> None:
        """See `Store.delete`."""
        names = list(keys)
        try:
            for start in range(0, len(names), DELETE_BATCH):
                batch = names[start : start + DELETE_BATCH]
                answer = self._client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in batch]}
                )
                if answer.get("Errors"):
                    raise Unavailable("The object store could not delete every file. Try again.")
        except (ClientError, BotoCoreError) as error:
            raise self._unavailable(error) from error

    def delete_prefix(self, prefix: str) -> None:
        """See `Store.delete_prefix`."""
        self.delete([item.key for item in self.list_objects(prefix)])

    def list_objects(self, prefix: str) -> Iterator[StoredObject]:
        """See `Store.list_objects`."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        try:
            for page in pages:
                for item in page.get("Contents", []):
                    modified = int(item["LastModified"].timestamp() * NANOSECONDS)
                    yield StoredObject(item["Key"], modified, item["Size"])
        except (ClientError, BotoCoreError) as error:
            raise self._unavailable(error) from error

    def check_writes(self) -> None:
        """See `Store.check_writes`."""
        # A write, because a store may serve reads and refuse writes; with a body, because an empty
        # object needs no space. It is not deleted: each write replaces the last.
        self.try_put(CHECK_KEY, b"kinora", "text/plain")

    def _unavailable(self, error: ClientError | BotoCoreError) -> Unavailable:
        return Unavailable(describe(error, self._bucket), retry_after=5)


def _config(read_seconds: float, attempts: int) -> Config:
    return Config(
        connect_timeout=3,
        read_timeout=read_seconds,
        retries={"mode": "standard", "max_attempts": attempts},
        # Older ones can't sign URLs for every region.
        signature_version="s3v4",
        # A host name per bucket needs DNS, which local and in-cluster stores lack.
        s3={"addressing_style": "path"},
        # Other stores than Amazon's do not support checksum trailers.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
