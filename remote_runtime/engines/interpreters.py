"""Where a Python is that somebody named: a path, a conda environment, a virtual environment, or a version.

    Environment.python --interpreter_of--> path of an interpreter, which `probing` then asks what it is

Nothing is run here but `conda info`, and that only for a name that is found nowhere else.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import Environment

VERSION = re.compile(r"(3\.\d+)(?:\.\d+)?")
"""What names a version and no path."""

_CONDA, _VENV = "conda:", "venv:"
_CONDA_S = 20.0
_ROOTS = (
    "~/miniconda3", "~/anaconda3", "~/miniforge3", "~/mambaforge", "~/micromamba", "~/.conda", "/opt/conda",
    "/opt/miniconda3", "/opt/anaconda3", "/opt/miniforge3", "/opt/mambaforge", "/usr/local/miniconda3",
)  # fmt: skip
_SHOWN = 12


def interpreter_of(environment: Environment) -> str:
    """Return the path of the interpreter that an environment names; the runtime's own where it names none.

    Args:
        environment: Its `python` is a path, "conda:NAME", "venv:DIR" or a version such as "3.12".

    Raises:
        Failed: code "not-found", where there is none; the message says where it was looked for.
    """
    named = environment.python
    if not named:
        return sys.executable
    if named.startswith(_CONDA):
        return _of_conda(named[len(_CONDA) :])
    if named.startswith(_VENV):
        return _of_venv(named[len(_VENV) :])
    if VERSION.fullmatch(named):
        found = next(of_version(named), None)
        if found is None:
            raise no_version(named)
        return found
    return _of_path(named)


def of_version(version: str) -> Iterator[str]:
    """Yield interpreters of this machine that may have a version, the likeliest first; their names say so, no more.

    Args:
        version: Such as "3.12" or "3.12.1".
    """
    minor = ".".join(version.split(".")[:2])
    own = "{}.{}.{}".format(*sys.version_info[:3])
    pyenv = os.environ.get("PYENV_ROOT", "~/.pyenv")
    if own == version or own.startswith(f"{version}."):
        yield sys.executable
    on_path = shutil.which(f"python{minor}")
    places = (
        *([on_path] if on_path and "shims" not in Path(on_path).parts else []),
        f"{pyenv}/versions/{version}*/bin/python",
        f"~/.local/share/uv/python/cpython-{version}*/bin/python",
        *(f"{folder}/python{minor}" for folder in ("/usr/local/bin", "/usr/bin", "/opt/python*/bin")),
    )
    for place in places:
        yield from sorted(glob.glob(os.path.expanduser(place)), reverse=True)


def no_version(version: str, why: str = "") -> Failed:
    """Say that a version is not to be had.

    Args:
        version: Such as "3.12".
        why: Why it could not be fetched either.
    """
    tried = f", and it could not be fetched: {why}" if why else ""
    hint = f"install Python {version} there, or name an interpreter with `--python PATH`"
    return Failed("not-found", f"the runtime's host has no Python {version}{tried}", hint, {"python": version})


def conda_environments(environ: Mapping[str, str] = os.environ) -> dict[str, Path]:
    """Return conda's environments by name, without conda: from its list of them and from where they usually are."""
    found: dict[str, Path] = {}
    for root in _conda_roots(environ):
        if (root / "conda-meta").is_dir():
            found.setdefault("base", root)
        for folder in sorted((root / "envs").glob("*/conda-meta")):
            found.setdefault(folder.parent.name, folder.parent)
    listed = Path("~/.conda/environments.txt").expanduser()
    with suppress(OSError, UnicodeDecodeError):
        for line in filter(None, map(str.strip, listed.read_text().splitlines())):
            if Path(line).is_dir():
                found.setdefault(Path(line).name, Path(line))
    return found


def _conda_roots(environ: Mapping[str, str]) -> Iterator[Path]:
    exe = environ.get("CONDA_EXE") or environ.get("MAMBA_EXE") or shutil.which("conda") or ""
    if exe:
        yield Path(exe).resolve().parents[1]
    for variable in ("MAMBA_ROOT_PREFIX", "CONDA_ROOT"):
        if environ.get(variable):
            yield Path(environ[variable])
    for folder in filter(None, environ.get("CONDA_ENVS_PATH", "").split(os.pathsep)):
        yield Path(folder).parent
    if environ.get("CONDA_PREFIX"):
        prefix = Path(environ["CONDA_PREFIX"])
        yield prefix.parents[1] if prefix.parent.name == "envs" else prefix
    yield from (Path(root).expanduser() for root in _ROOTS)


def _of_conda(name: str) -> str:
    if os.sep in name:
        return _within(Path(name).expanduser(), f"the conda environment {name}")
    known = conda_environments()
    if name not in known:
        known |= {path.name: path for path in _told_by_conda()}
    if name not in known:
        listed = ", ".join(sorted(known)[:_SHOWN])
        hint = f"it has {listed}" if listed else "no conda was found there; name an interpreter with `--python PATH`"
        raise Failed("not-found", f"the runtime's host has no conda environment {name}", hint, {"python": name})
    return _within(known[name], f"the conda environment {name}")


def _told_by_conda() -> list[Path]:
    conda = os.environ.get("CONDA_EXE") or shutil.which("conda") or shutil.which("mamba") or shutil.which("micromamba")
    if not conda:
        return []
    try:
        told = subprocess.run([conda, "info", "--json"], capture_output=True, timeout=_CONDA_S, check=True)
        return [Path(path) for path in json.loads(told.stdout).get("envs", ())]
    except (OSError, subprocess.SubprocessError, ValueError, AttributeError):  # what conda says is only a last look
        return []


def _of_venv(directory: str) -> str:
    return _within(Path(directory).expanduser(), f"the virtual environment {directory}")


def _within(prefix: Path, what: str) -> str:
    for name in ("python", "python3"):
        if os.access(prefix / "bin" / name, os.X_OK):
            return str(prefix / "bin" / name)
    state = "has no Python in its bin folder" if prefix.is_dir() else "is not there"
    raise Failed("not-found", f"{what} {state} on the runtime's host ({prefix})", "check its name, and its path there")


def _of_path(named: str) -> str:
    path = os.path.expanduser(named)
    if not os.path.isabs(path):
        found = shutil.which(path)
        if found is None:
            hint = "name it by its whole path, or use `--conda NAME`, `--venv DIR` or `--python 3.12`"
            raise Failed("not-found", f"the runtime's host has no program {named}", hint, {"python": named})
        return found
    if os.path.isdir(path):
        return _within(Path(path), f"the environment {named}")
    if not os.path.exists(path):
        raise Failed("not-found", f"the interpreter {named} is not there on the runtime's host", "check its path there")
    if not os.access(path, os.X_OK):
        raise Failed("not-found", f"the interpreter {named} may not be run by the runtime's user", "check its mode")
    return path
