"""What `make follow` prints of the logs of a local stack."""

from __future__ import annotations

from pathlib import Path

from local.follow import Entry, entries_about

FIRST = "2026-11-29T10:00:00.000001Z [info] video requested [x] video_id=video_1"
SECOND = "2026-11-29T10:00:00.000002Z [error] failed [x] video_id=video_1\nTraceback\n  ValueError"
OTHER = "2026-11-29T10:00:00.000003Z [info] video requested [x] video_id=video_12"


def test_entries_are_in_order_with_their_tracebacks(tmp_path: Path) -> None:
    """Of every function, from older logs too; another id that begins alike is not meant."""
    (tmp_path / "submit.log").write_text(f"a warning without a time about video_1\n{OTHER}\n")
    (tmp_path / "submit.log.1").write_text(f"{FIRST}\n")
    (tmp_path / "generate-1.log").write_text(f"{SECOND}\n{OTHER}\n")
    assert entries_about("video_1", tmp_path) == [
        Entry(FIRST, "submit"),
        Entry(SECOND, "generate-1"),
    ]


def test_logs_of_another_form_are_left_out(tmp_path: Path) -> None:
    """The gateway's has no entries that could be told apart, or put in order."""
    (tmp_path / "gateway.log").write_text('{"uri":"/v1/videos/video_1"}\n{"uri":"/"}\n')
    assert entries_about("video_1", tmp_path) == []
