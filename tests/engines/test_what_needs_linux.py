"""The page about this engine names every facility of Linux that the runtime's processes use, with its file."""

from __future__ import annotations

import re

import pytest

from tests.structure import code

PAGE = (code.ROOT / "docs" / "engines" / "process.md").read_text()
ROOMS = ("remote_runtime.worker.", "remote_runtime.engines.", "remote_runtime.wire.forking")
FACILITIES = (
    "SOCK_SEQPACKET", "MSG_CMSG_CLOEXEC", "SO_PEERCRED", "SCM_RIGHTS", "memfd_create", "pidfd_open", "pidfd_send_signal",
    "F_SETPIPE_SZ", "prlimit", "/proc/self/fd", "/proc/self/task", "/proc/self/oom_score_adj", "/proc/meminfo",
)  # fmt: skip


def rows() -> dict[str, str]:
    """Facility -> the files that its row names."""
    table = PAGE[PAGE.index("| facility |") :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table]
    return {facility: cell[1] for cell in cells for facility in re.findall(r"`([^`]+)`", cell[0])}


def users(facility: str) -> set[str]:
    mine = {name: path for name, path in code.sources().items() if name.startswith(ROOMS)}
    files = [path for path in mine.values() if facility in path.read_text()]
    return {"/".join(path.parts[-2:]) for path in files}


@pytest.mark.parametrize("facility", FACILITIES)
def test_a_facility_of_linux_is_named_with_its_files(facility: str) -> None:
    named = set(re.findall(r"`([^`]+)`", rows()[facility]))
    assert users(facility) and users(facility) <= named


def test_every_reader_of_proc_is_named() -> None:
    named = {file for facility, files in rows().items() if "proc" in facility or "sma" in facility for file in re.findall(r"`([^`]+)`", files)}
    assert {u for u in users("/proc/") if u != "worker/__main__.py"} <= named
