"""Disks that are full, and volumes below the working directory: on real small file systems, where they can be made."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernel_proxy.downloads import download
from kernel_proxy.errors import DiskFull
from kernel_proxy.folder import Folder
from kernel_proxy.uploads import upload

SIZE_BYTES = 8 << 20
CONTENT = os.urandom(SIZE_BYTES - (1 << 20))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Mount small disks."""
    mounted: list[Path] = []

    def mount(at: Path) -> Path:
        words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", str(at)]
        if subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip("this user may not mount a disk")
        mounted.append(at)
        return at

    yield mount
    for at in mounted:
        subprocess.run(["umount", "-l", str(at)], check=True)


def used(at: Path) -> int:
    found = os.statvfs(at)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def test_a_full_disk_here_is_said_and_holds_no_hidden_rest(folder: Folder, here: Path, there: Path, disk) -> None:
    (there / "x").write_bytes(CONTENT * 2)
    (here / "small").mkdir()
    disk(here / "small")
    with pytest.raises(DiskFull, match=r"`small/x` does not fit on the disk here: .*\nhint: make room"):
        download(folder, "x", "small/x")
    assert used(here / "small") == 0
    (there / "x").write_bytes(CONTENT)
    download(folder, "x", "small/x")
    assert (here / "small" / "x").read_bytes() == CONTENT


def test_a_full_disk_there_is_said_and_holds_no_hidden_rest(folder: Folder, here: Path, there: Path, disk) -> None:
    parts = there.with_name("files.part")
    parts.mkdir()
    disk(parts)
    (here / "x").write_bytes(CONTENT * 2)
    with pytest.raises(DiskFull, match=r"`x` does not fit on the session's disk: .*\nhint: remove"):
        upload(folder, "x")
    assert used(parts) == 0 and not (there / "x").exists()


def test_a_volume_below_the_directory_can_be_written(folder: Folder, here: Path, there: Path, disk) -> None:
    (there / "volume").mkdir()
    disk(there / "volume")
    (here / "x").write_bytes(CONTENT)
    upload(folder, "x", "volume/")
    assert (there / "volume" / "x").read_bytes() == CONTENT
    assert os.listdir(there / "volume") == ["x"] and not os.listdir(there.with_name("files.part"))
    (here / "y").write_bytes(CONTENT)
    with pytest.raises(DiskFull):
        upload(folder, "y", "volume/y")
    assert os.listdir(there / "volume") == ["x"]
