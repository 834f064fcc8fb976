"""The object store: the same tests for a real server and for the fake."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from functions.shared.errors import NotFound, RangeNotSatisfiable, TooLarge
from functions.shared.storage import CHECK_KEY, S3Store, Store
from functions.shared.subjects import is_token
from tests.fakes import MemoryStore
from tests.patience import scaled

KEY = "acme/video_1/1-x/video.mp4"


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Both implementations, with a file of ten bytes."""
    found: MemoryStore | S3Store = (
        MemoryStore() if request.param == "memory" else request.getfixturevalue("s3")
    )
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    found.put(KEY, path, "video/mp4")
    return found


@pytest.mark.parametrize(
    ("byte_range", "data", "content_range"),
    [
        (None, b"0123456789", None),
        ("bytes=0-", b"0123456789", "bytes 0-9/10"),
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-99", b"0123456789", "bytes 0-9/10"),
    ],
)
def test_a_file_is_read_whole_or_by_range(
    store: Store, byte_range: str | None, data: bytes, content_range: str | None
) -> None:
    """With the range and the file's size."""
    stored = store.get(KEY, byte_range)
    assert b"".join(stored.chunks) == data
    assert (stored.size, stored.content_range) == (len(data), content_range)


@pytest.mark.parametrize("byte_range", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_a_range_outside_the_file_is_refused_with_its_size(store: Store, byte_range: str) -> None:
    """So that the caller can request a valid range (RFC 9110, section 15.5.17)."""
    with pytest.raises(RangeNotSatisfiable) as error:
        store.get(KEY, byte_range)
    assert error.value.headers == {"Content-Range": "bytes */10"}


def test_a_missing_file_is_not_found(store: Store) -> None:
    """With and without a range."""
    for byte_range in (None, "bytes=0-1"):
        with pytest.raises(NotFound):
            store.get("acme/nothing", byte_range)


def test_a_small_object_is_read_at_once(store: Store) -> None:
    """If it is as small as expected; the list tells each object's size."""
    assert store.read(KEY, max_bytes=10) == b"0123456789"
    with pytest.raises(TooLarge):
        store.read(KEY, max_bytes=9)
    with pytest.raises(NotFound):
        store.read("acme/nothing", max_bytes=9)
    assert [item.size for item in store.list_objects(KEY)] == [10]


def test_checking_for_writes_needs_no_more_than_one_object(store: Store) -> None:
    """However often, and at a key that can't be a video's: no account begins with a dot."""
    for _ in range(3):
        store.check_writes()
    others = {item.key for item in store.list_objects("")} - {KEY}
    assert others <= {CHECK_KEY}
    assert not is_token(CHECK_KEY.partition("/")[0])


def test_a_signed_url_needs_no_credentials(s3: S3Store, store: Store) -> None:
    """Of one object, for GET, with a range; a changed one is refused."""
    del store  # it has put the file there
    url = s3.signed_url(KEY)
    part = requests.get(url, headers={"Range": "bytes=2-4"}, timeout=scaled(20))
    assert (part.status_code, part.content) == (206, b"234")
    other = url.replace("video.mp4", "other.mp4")
    assert requests.get(other, timeout=scaled(20)).status_code == 403
    assert requests.delete(url, timeout=scaled(20)).status_code == 403
