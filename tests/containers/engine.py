"""The Docker engine of this machine as tests see it: whether it is there, and what lies in it."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path

RIG = "run tests/rigs/docker.sh"


def docker(*words: str) -> str:
    """Run the engine's own command and return what it prints."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@cache
def absent() -> str:
    """Return why no container can be started here, "" where one can."""
    if shutil.which("docker") is None:
        return f"no docker command; {RIG}"
    try:
        docker("version")
    except (subprocess.SubprocessError, OSError):
        return f"no Docker engine answers; {RIG}"
    bases = docker("images", "--quiet", "warmcell-base")
    return "" if bases else f"the engine has no image warmcell-base; {RIG}"


def inspect(container: str) -> dict:
    """Return what the engine knows of a container."""
    return json.loads(docker("inspect", container))[0]


def containers(home: Path) -> list[str]:
    """Return the names of an installation's containers, whatever their state."""
    name = home / "state" / "installation"
    place = name if name.exists() else home / "installation"
    if not place.exists():
        return []
    return docker("ps", "-a", "--filter", f"label=warmcell.installation={place.read_text()}", "--format", "{{.Names}}").split()


def inventory() -> dict[str, set[str]]:
    """Return all that an installation could leave in the engine and in shared memory."""
    label = "label=warmcell.installation"
    return {
        "containers": set(docker("ps", "-aq", "--filter", label).split()),
        "networks": set(docker("network", "ls", "-q", "--filter", label).split()),
        "volumes": set(docker("volume", "ls", "-q").split()),
        "shared memory": {entry.name for entry in Path("/dev/shm").iterdir()},
        "chains": {word for word in _rules().split() if word.startswith("WC-")},
    }


def _rules() -> str:
    if shutil.which("iptables") is None:
        return ""
    return subprocess.run(["iptables", "-S"], capture_output=True, text=True).stdout
