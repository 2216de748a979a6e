"""The public names are there, and naming them costs what they cost: nothing before they are used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import warmcell

ROOT = Path(__file__).parents[2]
HEAVY = {"grpc", "google", "IPython", "numpy", "cloudpickle", "click", "asyncio", "concurrent", "logging", "ssl"}


def modules_after(statement: str) -> set[str]:
    script = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_import_brings_nothing_heavy() -> None:
    assert not modules_after("import warmcell") & HEAVY


@pytest.mark.parametrize("name", ["WarmcellError", "Handle"])
def test_light_names_stay_light(name: str) -> None:
    assert not modules_after(f"import warmcell; warmcell.{name}") & {"grpc", "IPython", "numpy", "click"}


@pytest.mark.parametrize("name", warmcell.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(warmcell, name) is not None
    assert name in dir(warmcell)


def test_the_version_is_one() -> None:
    from remote_runtime.wire.versions import VERSION

    assert warmcell.__version__ == VERSION


def test_other_names_are_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'warmcell' has no attribute 'nonesuch'"):
        warmcell.nonesuch


def test_grpc_is_told_to_be_silent_before_it_loads() -> None:
    script = (
        "import os, kernel_proxy.channel; print(os.environ['GRPC_VERBOSITY'], os.environ['GRPC_ENABLE_FORK_SUPPORT'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("NONE 0\n", "")
