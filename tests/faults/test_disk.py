"""The small disk that proofs fill: it is full when it is filled, and has room again when it is freed."""

import os
from pathlib import Path

import pytest
from proofs.faults.disk import NotPossible, SmallDisk


def test_a_small_disk_is_full_until_it_is_freed_or_says_that_it_cannot_be_had(tmp_path: Path) -> None:
    try:
        with SmallDisk(tmp_path / "disk", tmp_path / "image", 16) as disk:
            file = disk.directory / "file"
            file.write_bytes(b"x" * 100_000)
            disk.fill()
            with pytest.raises(OSError, match="No space left"):
                (disk.directory / "more").write_bytes(b"x" * 100_000)
            disk.free()
            (disk.directory / "more").write_bytes(b"x" * 100_000)
            assert disk.free_bytes > 5_000_000
    except NotPossible:  # a container, or somebody else's account
        assert not os.path.ismount(tmp_path / "disk")
    assert not (tmp_path / "disk" / "file").exists()
    assert not (tmp_path / "image").exists()


def test_without_root_there_is_no_disk_and_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NotPossible, match="root"), SmallDisk(tmp_path / "disk", tmp_path / "image", 16):
        pass
    assert not (tmp_path / "disk").exists()


def test_after_a_power_cut_there_is_what_was_flushed_and_nothing_else(tmp_path: Path) -> None:
    try:
        with SmallDisk(tmp_path / "disk", tmp_path / "image", 16) as disk:
            flushed, written = disk.directory / "flushed", disk.directory / "written"
            with flushed.open("wb") as file:
                file.write(b"x" * 100_000)
                os.fsync(file.fileno())
            written.write_bytes(b"x" * 100_000)
            assert written.read_bytes() == flushed.read_bytes(), "the control: what a killed process leaves behind"
            disk.cut()
            with pytest.raises(OSError, match="Input/output error"):
                written.write_bytes(b"y")
            disk.restore()
            assert flushed.read_bytes() == b"x" * 100_000
            assert not written.exists() or written.read_bytes() == b""
    except NotPossible:  # a container, or somebody else's account
        assert not os.path.ismount(tmp_path / "disk")
