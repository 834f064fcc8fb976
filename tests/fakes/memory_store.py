"""A `Store` in memory, which passes the same tests as the real one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from functions.shared.errors import NotFound, RangeNotSatisfiable, TooLarge, Unavailable
from functions.shared.storage import StoredFile, StoredObject


@dataclass
class MemoryStore:
    """A bucket in memory. While `unavailable`, every call fails; `checks` counts check_writes."""

    files: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    unavailable: bool = False
    checks: int = 0

    def _check_available(self) -> None:
        if self.unavailable:
            raise Unavailable("The object store does not answer", retry_after=5)

    def put(self, key: str, path: Path, content_type: str) -> None:
        """See `Store.put`."""
        self._check_available()
        self.files[key] = (path.read_bytes(), content_type)

    def try_put(self, key: str, data: bytes, content_type: str) -> None:
        """See `Store.try_put`."""
        self._check_available()
        self.files[key] = (data, content_type)

    def get(self, key: str, byte_range: str | None = None) -> StoredFile:
        """See `Store.get`."""
        self._check_available()
        if key not in self.files:
            raise NotFound
        data = self.files[key][0]
        etag = f'"{hash(data):x}"'
        if byte_range is None:
            return StoredFile(len(data), etag, iter([data]))
        first, last = _bounds(byte_range, len(data))
        part = data[first : last + 1]
        return StoredFile(len(part), etag, iter([part]), f"bytes {first}-{last}/{len(data)}")

    def signed_url(self, key: str) -> str:
        """See `Store.signed_url`; nothing is at this one."""
        return f"https://store.example/kinora/{key}?signature=1"

    def read(self, key: str, *, max_bytes: int) -> bytes:
        """See `Store.read`."""
        stored = self.get(key)
        if stored.size > max_bytes:
            raise TooLarge
        return b"".join(stored.chunks)

    def delete(self, keys: Iterable[str]) -> None:
        """See `Store.delete`."""
        self._check_available()
        for key in keys:
            self.files.pop(key, None)

    def delete_prefix(self, prefix: str) -> None:
        """See `Store.delete_prefix`."""
        self.delete([item.key for item in self.list_objects(prefix)])

    def list_objects(self, prefix: str) -> Iterator[StoredObject]:
        """See `Store.list_objects`; all have the timestamp 0."""
        self._check_available()
        for key in sorted(self.files):
            if key.startswith(prefix):
                yield StoredObject(key, 0, len(self.files[key][0]))

    def check_writes(self) -> None:
        """See `Store.check_writes`; the object is not among `files`."""
        self._check_available()
        self.checks += 1


def _bounds(byte_range: str, size: int) -> tuple[int, int]:
    start, _, end = byte_range.removeprefix("bytes=").partition("-")
    if not start and int(end) > 0:
        return max(0, size - int(end)), size - 1
    if not start or int(start) >= size:
        raise RangeNotSatisfiable(size)
    return int(start), min(int(end) if end else size - 1, size - 1)
