"""Previews on their way to the store: the newest one, at once or not at all."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from functions.generate.preview_uploads import PreviewUploads
from tests.fakes import MemoryStore
from tests.patience import scaled, wait_until

KEY = "acme/video_1/1-x/preview.jpg"


@dataclass
class SlowStore(MemoryStore):
    """Takes an object once `go` is set; `asked` is set by the first."""

    go: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)

    def try_put(self, key: str, data: bytes, content_type: str) -> None:
        """See `Store.try_put`."""
        self.asked.set()
        assert self.go.wait(scaled(20))
        super().try_put(key, data, content_type)


@pytest.fixture
def slow() -> SlowStore:
    return SlowStore()


def _wait_for(uploads: PreviewUploads, number: int) -> None:
    wait_until(lambda: uploads.stored == number, seconds=10, what=f"preview {number} is stored")


def test_each_preview_replaces_the_one_before() -> None:
    """One object, and a number that counts what was stored."""
    store = MemoryStore()
    uploads = PreviewUploads(store, "acme/video_1/1-x/")
    with uploads.running():
        assert uploads.stored == 0
        for number, jpeg in enumerate((b"one", b"two"), 1):
            uploads.offer(jpeg)
            _wait_for(uploads, number)
            assert store.files == {KEY: (jpeg, "image/jpeg")}
    uploads.delete()
    assert not store.files


def test_only_the_newest_waits_for_a_slow_store(slow: SlowStore) -> None:
    """Offers return at once, however long the store takes."""
    uploads = PreviewUploads(slow, "acme/video_1/1-x/")
    with uploads.running():
        uploads.offer(b"one")
        assert slow.asked.wait(scaled(10))
        for jpeg in (b"two", b"three", b"four"):
            uploads.offer(jpeg)
        slow.go.set()
        _wait_for(uploads, 2)
        assert slow.files[KEY][0] == b"four"


def test_what_the_store_refuses_is_dropped() -> None:
    """Without a number; the next one is tried again."""
    store = MemoryStore(unavailable=True)
    uploads = PreviewUploads(store, "acme/video_1/1-x/")
    with uploads.running():
        uploads.offer(b"one")
        wait_until(lambda: uploads._waiting is None, seconds=10, what="the first is tried")
        store.unavailable = False
        uploads.offer(b"two")
        _wait_for(uploads, 1)
    assert store.files[KEY][0] == b"two"


def test_nothing_is_stored_after_the_deletion(slow: SlowStore) -> None:
    """It waits for the upload that is in progress; what waits behind it is dropped."""
    uploads = PreviewUploads(slow, "acme/video_1/1-x/")
    with uploads.running():
        uploads.offer(b"one")
        assert slow.asked.wait(scaled(10))
        uploads.offer(b"two")
    deletion = threading.Thread(target=uploads.delete)
    deletion.start()
    assert not slow.files
    slow.go.set()
    deletion.join(scaled(10))
    assert not deletion.is_alive()
    assert uploads.stored == 1
    assert not slow.files


def test_a_deletion_that_fails_is_left_to_the_sweeper() -> None:
    """And without a preview, the store is not asked at all."""
    store = MemoryStore()
    uploads = PreviewUploads(store, "acme/video_1/1-x/")
    with uploads.running():
        uploads.offer(b"one")
        _wait_for(uploads, 1)
    store.unavailable = True
    uploads.delete()
    assert KEY in store.files
