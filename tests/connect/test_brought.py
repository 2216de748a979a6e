"""A host without warmcell gets it, in an environment of its own; where it cannot, it is said why."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from kernel_proxy import wheel
from kernel_proxy.arrival import MINOR
from kernel_proxy.errors import RuntimeUnavailable
from kernel_proxy.runtime import connect
from kernel_proxy.settings import Settings
from remote_runtime.wire import messages_pb2 as pb
from tests.client.roads import texts
from tests.connect.sshd import Account

Reach = Callable[..., Settings]
TOOLS = ("sh", "cat", "cut", "mkdir", "rm", "uname")
KNOWN = (f"/usr/local/bin/python{MINOR}", "/opt/conda/bin/python", "/usr/local/bin/uv")


def bare(place: Path, name: str) -> Path:
    """A directory of programs with a shell and little else."""
    programs = place / f"{name}-bin"
    programs.mkdir()
    for tool in TOOLS:
        (programs / tool).symlink_to(shutil.which(tool))
    return programs


def without(programs: Path) -> dict[str, str]:
    """The environment of an account that has these programs alone, and no warmcell."""
    if any(os.path.exists(path) for path in KNOWN):
        pytest.skip("this machine has a Python where every account finds it")
    return {"PATH": str(programs), "PYTHONPATH": ""}


def script(file: Path, text: str) -> None:
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def test_a_host_without_python(other: Callable[..., Account], place: Path, reach: Reach) -> None:
    account = other("none", environment=without(bare(place, "none")))
    with pytest.raises(RuntimeUnavailable, match=f"there is no Python on none\nhint: install python{MINOR} there, or uv"):
        connect(reach(account))


def test_a_host_with_another_python(other: Callable[..., Account], place: Path, reach: Reach) -> None:
    programs = bare(place, "old")
    script(programs / "python3", "echo 3.7")
    account = other("old", environment=without(programs))
    with pytest.raises(RuntimeUnavailable, match=f"old has Python 3.7, and this kernel runs {MINOR}: values need the same"):
        connect(reach(account))


def test_a_host_whose_python_cannot_make_environments(
    other: Callable[..., Account], place: Path, reach: Reach
) -> None:
    programs = bare(place, "thin")
    script(programs / "python3", f'case "$*" in *-c*) echo {MINOR};; *) echo "Error: ensurepip is not available" >&2; exit 1;; esac')
    account = other("thin", environment=without(programs))
    with pytest.raises(RuntimeUnavailable, match=rf"Python on thin cannot make .*\nhint: install python{MINOR}-venv"):
        connect(reach(account))
    assert not list(account.state.glob("env/*/warmcell.digest"))


def test_warmcell_is_brought_and_a_second_time_it_is_there(
    other: Callable[..., Account], place: Path, reach: Reach
) -> None:
    programs = bare(place, "new")
    (programs / "python3").symlink_to(Path(sys._base_executable).resolve())  # type: ignore[attr-defined]
    account = other("new", environment=without(programs))
    said: list[str] = []
    try:
        runtime = connect(reach(account), said.append)
    except RuntimeUnavailable as error:
        if "cannot get the packages" in str(error):
            pytest.skip("no package index can be reached")
        raise
    steps = "making an environment in"
    assert [steps in s or "MB" in s for s in said] == [False, False, True, True, False, False], said
    session = runtime.open("cpu", "nb", "nb.ipynb", {})
    ran = "".join(texts(session.run(pb.Run(source="import sys, warmcell; print(sys.prefix)"))))
    assert ran == f"{account.state}/env/{MINOR}\n"
    runtime.stop(force=True)
    runtime.close()
    again: list[str] = []
    connect(reach(account), again.append).close()
    assert again == ["connecting to new", "looking for the runtime on new"]


def test_a_wheel_is_what_is_installed_here(tmp_path: Path) -> None:
    built = wheel.build()
    with zipfile.ZipFile(BytesIO(built.content)) as archive:
        archive.extractall(tmp_path)
    script = "import warmcell, kernel_proxy.hosted, remote_runtime.wire.messages_pb2, warmcell.cli; print(warmcell.__file__)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.stdout.strip() == str(tmp_path / "warmcell" / "__init__.py"), done.stderr
    (info,) = tmp_path.glob("*.dist-info")
    assert "Requires-Dist: grpcio" in (info / "METADATA").read_text()
    assert "warmcell = warmcell.cli:main" in (info / "entry_points.txt").read_text()
