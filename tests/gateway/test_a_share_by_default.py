"""The share of a session that names none: from the command line, else from the admin's file, in units that people write."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote_runtime.gateway.config import Config, parse

GB = 10**9


def parsed(tmp_path: Path, *more: str) -> Config:
    return parse(["--state", str(tmp_path), "--runtime-dir", "/tmp/wc", *more])


@pytest.mark.parametrize(("text", "size_bytes"), [("20GB", 20 * GB), ("1.5gb", 1_500_000_000), ("2GiB", 2 * 2**30)])
def test_it_is_read_from_the_command_line(tmp_path: Path, text: str, size_bytes: int) -> None:
    assert parsed(tmp_path).lease_memory_bytes is None
    assert parsed(tmp_path, f"--lease-memory={text}").lease_memory_bytes == size_bytes


def test_it_is_read_from_the_file_behind_that(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text("[devices]\nlease_memory = '16GB'\n")
    assert parsed(tmp_path).lease_memory_bytes == 16 * GB
    assert parsed(tmp_path, "--lease-memory=20GB").lease_memory_bytes == 20 * GB


@pytest.mark.parametrize("text", ["20", "0GB", "-1GB", "much"])
def test_what_is_no_size_is_refused_in_words(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(tmp_path, f"--lease-memory={text}")
    assert f"`{text}` names no share of memory; write it with its unit: `20GB`" in capsys.readouterr().err
