from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from remote_runtime.engines import records
from remote_runtime.wire.failures import Failed


def test_a_record_is_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    records.write(path, {"pid": 7})
    records.write(path, {"pid": 8})
    assert records.read(path) == {"pid": 8}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["w.json"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    path = tmp_path / "w.json"
    records.write(path, {"pid": 7})

    def full(*_: object) -> None:
        raise OSError(number, "full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(Failed, match=r"could not write .*w\.json: the disk is full") as caught:
        records.write(path, {"pid": 8})
    assert (caught.value.code, records.read(path), os.listdir(tmp_path)) == ("disk-full", {"pid": 7}, ["w.json"])


def test_other_trouble_is_not_called_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        records.write(tmp_path / "absent" / "w.json", {})


def test_damaged_records_are_left_out(tmp_path: Path) -> None:
    records.write(tmp_path / "good.json", {"a": 1})
    (tmp_path / "cut.json").write_text('{"a": ')
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    assert records.read_all(tmp_path) == {"good": {"a": 1}}


def test_a_directory_is_closed_to_others(tmp_path: Path) -> None:
    open_to_all = tmp_path / "d"
    open_to_all.mkdir(mode=0o777)
    assert stat.S_IMODE(records.private_directory(open_to_all).stat().st_mode) & 0o077 == 0


def test_removing_twice_is_removing(tmp_path: Path) -> None:
    records.write(tmp_path / "w.json", {})
    records.remove(tmp_path / "w.json")
    records.remove(tmp_path / "w.json")
    assert not os.listdir(tmp_path)
