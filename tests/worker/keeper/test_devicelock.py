"""A device is one worker's, on the whole machine, until that worker is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from remote_runtime.worker.devicelock import DeviceLocks

A, B = "GPU-aaaa", "GPU-bbbb"


def test_a_device_is_locked_once(tmp_path: Path) -> None:
    one, two = DeviceLocks(tmp_path / "d"), DeviceLocks(tmp_path / "d")
    assert one.take([A], "nb on worker w1") == ""
    assert two.take([A], "other") == f"device {A} is held by nb on worker w1, pid {os.getpid()}, user {os.getuid()}"
    one.release()
    assert two.take([A], "other") == ""
    two.release()


def test_all_or_none_are_locked(tmp_path: Path) -> None:
    one, two = DeviceLocks(tmp_path / "d"), DeviceLocks(tmp_path / "d")
    assert one.take([B], "x") == ""
    assert B in two.take([A, B], "y")
    assert one.take([A], "x") == ""
    one.release()


def test_those_who_share_lock_it_together_and_keep_out_who_does_not(tmp_path: Path) -> None:
    one, two, alone = (DeviceLocks(tmp_path / "d") for _ in range(3))
    assert one.take([A], "one", shared=True) == two.take([A], "two", shared=True) == ""
    assert "is held by" in alone.take([A], "alone")
    one.release()
    assert "is held by two" in alone.take([A], "alone")
    two.release()
    assert alone.take([A], "alone") == ""
    assert "is held by alone" in one.take([A], "one", shared=True)
    alone.release()


def test_other_users_can_lock_too(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        DeviceLocks(tmp_path / "d").take([A], "x")
    finally:
        os.umask(before)
    assert (tmp_path / "d").stat().st_mode & 0o7777 == 0o1777
    assert (tmp_path / "d" / A).stat().st_mode & 0o777 == 0o666


def test_a_dead_holder_holds_nothing(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from remote_runtime.worker.devicelock import DeviceLocks\n"
        f"print(DeviceLocks(Path({str(tmp_path / 'd')!r})).take([{A!r}], 'x') == '', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"True\n"
        assert "is held by x, pid" in DeviceLocks(tmp_path / "d").take([A], "y")
        holder.kill()
        holder.wait()
    locks = DeviceLocks(tmp_path / "d")
    assert locks.take([A], "y") == ""
    locks.release()


def test_a_name_cannot_leave_the_directory(tmp_path: Path) -> None:
    locks = DeviceLocks(tmp_path / "d")
    assert locks.take(["../../etc/x"], "y") == ""
    assert [p.parent for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / "d"]
    locks.release()


def test_a_directory_that_cannot_be_made_is_a_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be locked in" in DeviceLocks(tmp_path / "file").take([A], "y")
