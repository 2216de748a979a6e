"""A path, a conda environment, a virtual environment, a version: found, asked what it is, or refused in words."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from remote_runtime.engines import libraries, probing
from remote_runtime.engines.interpreters import conda_environments, interpreter_of, of_version
from remote_runtime.engines.probing import NEEDS, Interpreter, Probes, probe
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import OWN, Environment
from tests.worlds.conftest import make_venv, pretend_installed


def of(python: str) -> str:
    return interpreter_of(Environment(python=python))


def conda(root: Path, *names: str) -> Path:
    """Lay out what conda leaves on a disk."""
    for folder in (root, *(root / "envs" / name for name in names)):
        (folder / "conda-meta").mkdir(parents=True)
        (folder / "bin").mkdir()
        (folder / "bin" / "python").symlink_to(sys.executable)
    return root


@pytest.fixture
def no_conda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without any conda."""
    for name in ("CONDA_EXE", "MAMBA_EXE", "MAMBA_ROOT_PREFIX", "CONDA_ROOT", "CONDA_PREFIX", "CONDA_ENVS_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_nothing_named_is_the_runtimes_own() -> None:
    assert interpreter_of(OWN) == sys.executable


def test_a_path_and_a_folder_and_a_venv_are_one_interpreter(venv: Path) -> None:
    expected = str(venv / "bin" / "python")
    assert of(expected) == of(str(venv)) == of(f"venv:{venv}") == expected


def test_conda_is_found_where_it_usually_is(no_conda: Path) -> None:
    root = conda(no_conda / "miniforge3", "x", "y")
    assert of("conda:x") == str(root / "envs" / "x" / "bin" / "python")
    assert of("conda:base") == str(root / "bin" / "python")
    with pytest.raises(Failed, match="no conda environment z") as refused:
        of("conda:z")
    assert refused.value.hint == "it has base, x, y"


def test_conda_is_found_by_its_variable_and_its_list(no_conda: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, elsewhere = conda(tmp_path / "opt", "x"), conda(tmp_path / "elsewhere" / "mine")
    (no_conda / ".conda").mkdir(parents=True)
    (no_conda / ".conda" / "environments.txt").write_text(f"{elsewhere}\n{tmp_path}/gone\n")
    monkeypatch.setenv("CONDA_EXE", str(root / "bin" / "conda"))
    assert set(conda_environments()) == {"base", "x", "mine"}
    assert of("conda:mine") == str(elsewhere / "bin" / "python")
    assert of(f"conda:{elsewhere}") == str(elsewhere / "bin" / "python")


@pytest.mark.parametrize(
    ("python", "what"),
    [
        ("/no/such/python", "is not there on the runtime's host"),
        ("no-such-program", "no program no-such-program"),
        ("venv:/no/such", "the virtual environment /no/such is not there"),
        ("venv:/etc", "has no Python in its bin folder"),
        ("conda:nowhere", "no conda environment nowhere"),
    ],
)
def test_what_is_not_there_is_said_with_a_hint(no_conda: Path, python: str, what: str) -> None:
    with pytest.raises(Failed, match=what) as refused:
        of(python)
    assert refused.value.code == "not-found" and refused.value.hint


def test_a_file_that_may_not_be_run_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/bin/sh")
    (tmp_path / "python").chmod(0o600)
    with pytest.raises(Failed, match="may not be run by the runtime's user"):
        of(f"{tmp_path}/python")


def test_the_own_version_is_the_own_interpreter() -> None:
    minor = "{}.{}".format(*sys.version_info[:2])
    assert of(minor) == sys.executable
    assert next(of_version(minor)) == sys.executable


def test_a_probe_tells_what_is_installed(venv: Path) -> None:
    mine, own = probe(f"{venv}/bin/python"), probe(sys.executable)
    assert mine.version == own.version and not mine.is_own and own.is_own
    assert own.absent == own.outdated == ()
    assert set(mine.absent) == set(NEEDS)
    assert own.versions.packages["cloudpickle"].startswith("3.")


def test_a_probe_is_asked_again_when_packages_come(tmp_path: Path) -> None:
    folder, probes = make_venv(tmp_path / "e"), Probes()
    before = probes.of(f"{folder}/bin/python")
    assert probes.of(f"{folder}/bin/python") is before
    pretend_installed(folder, "xxhash", "9.9")
    after = probes.of(f"{folder}/bin/python")
    assert after.packages["xxhash"] == "9.9" and after.stamp != before.stamp


def test_a_program_that_is_no_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="does not run as a Python") as refused:
        probe(shutil.which("ls") or "")
    assert refused.value.code == "unsupported"


def test_a_python_that_is_too_old_is_named_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "OLDEST", (99, 0))
    with pytest.raises(Failed, match=r"is Python 3\.\d+\.\d+, and a worker needs 99\.0 or later"):
        probe(sys.executable)


def test_what_is_too_old_is_named_with_the_one_command(tmp_path: Path) -> None:
    folder = make_venv(tmp_path / "old")
    pretend_installed(folder, "protobuf", "4.25.1")
    with pytest.raises(Failed, match="has protobuf 4.25.1, too old for a worker") as refused:
        libraries.provide(probe(f"{folder}/bin/python"), tmp_path)
    assert refused.value.hint == f"{folder}/bin/python -m pip install 'protobuf>=6.31'"


def test_what_lacks_is_linked_once_and_not_into_the_environment(venv: Path, tmp_path: Path) -> None:
    found = libraries.provide(probe(f"{venv}/bin/python"), tmp_path)
    assert libraries.provide(probe(f"{venv}/bin/python"), tmp_path) == found
    assert (Path(found) / "grpc").is_symlink() and (Path(found) / "google" / "protobuf").is_symlink()
    assert not list(venv.rglob("grpc")) and [p.name for p in Path(found).parent.iterdir()] == [Path(found).name]


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    folder = make_venv(tmp_path / "torn")
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "traitlets").mkdir()
    (site / "traitlets" / "__init__.py").write_text("raise ImportError('torn apart')")
    with pytest.raises(Failed, match="does not go together with what a worker needs .*torn apart"):
        libraries.provide(probe(f"{folder}/bin/python"), tmp_path)


def test_an_environment_that_has_all_is_given_nothing(tmp_path: Path) -> None:
    own = probe(sys.executable)
    assert libraries.provide(own, tmp_path) == "" and not list(tmp_path.iterdir())
    assert isinstance(own, Interpreter)
