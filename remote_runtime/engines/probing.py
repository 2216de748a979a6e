"""What an interpreter is: it is run once with a small script, and asked again when its packages change.

    path --run--> one line of JSON -> Interpreter(version, packages, ...) -> what it lacks to be a worker
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remote_runtime.wire import limits, versions
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed

NEEDS: Mapping[str, str] = {
    "cloudpickle": "3.1",
    "comm": "0.1.3",
    "grpcio": "1.66",
    "ipython": "8.20",
    "matplotlib-inline": "0.1.6",
    "nvidia-ml-py": "12.560",
    "protobuf": "6.31",
    "xxhash": "3.4",
}
"""Distributions that a worker imports, each with the oldest version that it works with."""

OLDEST = (3, 10)
"""The oldest Python that a worker runs in."""

_PROBE_S = 30.0
_OWN = ("PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "__PYVENV_LAUNCHER__")
_MARK = "warmcell-probe "
_SCRIPT = f"""
import json, sys
told = {{"version": "%d.%d.%d" % sys.version_info[:3], "prefix": sys.prefix, "executable": sys.executable}}
if sys.version_info >= {OLDEST!r}:
    import site, sysconfig
    from importlib import metadata
    told["implementation"] = sys.implementation.cache_tag
    places = site.getsitepackages() + [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    told["sites"] = sorted(set(places + ([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])))
    told["packages"] = packages = {{}}
    for name in sys.argv[1:]:
        try:
            packages[name] = metadata.version(name)
        except Exception:
            pass
sys.stdout.write("\\n{_MARK}" + json.dumps(told) + "\\n")
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python that is there.

    Args:
        path: By which it is started; not followed, as a virtual environment's own is a link.
        prefix: Where it is installed.
        version: Such as "3.11.7".
        tag: Of its bytecode, such as "cpython-311".
        packages: Of those that were asked for, what is installed.
        sites: Where its packages lie.
        stamp: Changes when packages come or go.
    """

    path: str
    prefix: str
    version: str
    tag: str
    packages: Mapping[str, str]
    sites: tuple[str, ...]
    stamp: int

    @property
    def minor(self) -> str:
        """Such as "3.11"."""
        return ".".join(self.version.split(".")[:2])

    @property
    def is_own(self) -> bool:
        """Whether it is the one in which the runtime itself runs."""
        return os.path.realpath(self.prefix) == os.path.realpath(sys.prefix)

    @property
    def absent(self) -> tuple[str, ...]:
        """What a worker needs and it does not have."""
        return tuple(name for name in NEEDS if name not in self.packages)

    @property
    def outdated(self) -> tuple[str, ...]:
        """What it has in a version with which a worker does not work."""
        return tuple(n for n, v in self.packages.items() if n in NEEDS and parts(v) < parts(NEEDS[n]))

    @property
    def versions(self) -> pb.Versions:
        """What a worker in it tells of itself, before there is one."""
        told = {name: self.packages[name] for name in versions.COMPARED if name in self.packages}
        told.setdefault("cloudpickle", versions.installed("cloudpickle") or "")
        return pb.Versions(
            protocol=limits.PROTOCOL, warmcell=versions.VERSION, python=self.version, packages=told,
            host=versions.host_id(),
        )  # fmt: skip


def parts(version: str) -> tuple[int, ...]:
    """Return the numbers at a version's beginning, for comparing."""
    return tuple(int(part) for part in re.findall(r"\d+", re.match(r"[\d.]*", version)[0]))  # type: ignore[index]


class Probes:
    """Asks interpreters what they are, each once until it changes."""

    def __init__(self) -> None:
        self._known: dict[str, Interpreter] = {}

    def of(self, path: str) -> Interpreter:
        """Return what an interpreter is; waits for it to run.

        Raises:
            Failed: code "unsupported", where it is too old or no Python at all.
        """
        known = self._known.get(path)
        if known is None or _stamp(path, known.sites) != known.stamp:
            known = self._known[path] = probe(path)
        return known


def probe(path: str) -> Interpreter:
    """Run an interpreter and return what it tells.

    Raises:
        Failed: code "unsupported", where it is too old or no Python at all.
    """
    told = _told(path)
    version = str(told["version"])
    if parts(version) < OLDEST:
        oldest = "{}.{}".format(*OLDEST)
        raise Failed("unsupported", f"{path} is Python {version}, and a worker needs {oldest} or later",
                     "name a later one", {"python": path})  # fmt: skip
    sites, packages = tuple(told["sites"]), told["packages"]
    return Interpreter(path, told["prefix"], version, told["implementation"], packages, sites, _stamp(path, sites))


def _told(path: str) -> dict:
    command = [path, "-B", "-c", _SCRIPT, *dict.fromkeys((*NEEDS, *versions.COMPARED))]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_S, env=surroundings(path), cwd="/",
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise _no_python(path, str(error)) from error
    lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith(_MARK)]
    if not lines:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise _no_python(path, said[-1] if said else f"it ended with code {done.returncode}")
    return json.loads(lines[-1][len(_MARK) :])


def _no_python(path: str, why: str) -> Failed:
    return Failed("unsupported", f"{path} does not run as a Python: {why}", "check that it starts in a shell there")


def _stamp(path: str, sites: tuple[str, ...]) -> int:
    """Return a number that changes when the interpreter is another, or a package comes or goes."""
    times = []
    for place in (path, *sites):
        try:
            times.append(os.stat(place).st_mtime_ns)
        except OSError:
            times.append(0)
    return hash(tuple(times))


def surroundings(path: str) -> dict[str, str]:
    """Return the variables that a program of another interpreter is started with: as if it had been activated.

    Args:
        path: The interpreter.
    """
    prefix = Path(path).parent.parent
    root = str(Path(__file__).resolve().parents[2])
    kept = {name: value for name, value in os.environ.items() if name not in _OWN}
    paths = [entry for entry in kept.pop("PYTHONPATH", "").split(os.pathsep) if entry and entry != root]
    if paths:
        kept["PYTHONPATH"] = os.pathsep.join(paths)
    kept["PATH"] = os.pathsep.join((str(Path(path).parent), *filter(None, (kept.get("PATH"),))))
    if (prefix / "pyvenv.cfg").is_file():
        kept["VIRTUAL_ENV"] = str(prefix)
    if (prefix / "conda-meta").is_dir():
        kept["CONDA_PREFIX"], kept["CONDA_DEFAULT_ENV"] = str(prefix), prefix.name
    return kept
