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


def installation(home: Path) -> str:
    """Return the name by which an installation's containers are known, "" where it never made one."""
    places = (home / "state" / "installation", home / "installation")
    return next((place.read_text().partition("\n")[0] for place in places if place.exists()), "")


def containers(home: Path) -> list[str]:
    """Return the names of an installation's containers, whatever their state."""
    name = installation(home)
    label = f"label=warmcell.installation={name}"
    return docker("ps", "-a", "--filter", label, "--format", "{{.Names}}").split() if name else []


def left_by(home: Path) -> list[str]:
    """Return all that an installation has left in the engine and in the packet filter."""
    name = installation(home)[:8]
    if not name:
        return []
    networks = docker("network", "ls", "--format", "{{.Name}}").split()
    chains = {word for word in _rules().split() if word.lower() == f"wc-{name}"}
    return [*containers(home), *(network for network in networks if network.endswith(name)), *chains]


def user_images() -> set[str]:
    """Return the names of the images that users have had built; all installations share them."""
    return set(docker("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=warmcell-image*").split())


def shared() -> set[str]:
    """Return what is there of volumes and of shared memory with a name."""
    return {*docker("volume", "ls", "-q").split(), *(entry.name for entry in Path("/dev/shm").iterdir())}


def _rules() -> str:
    if shutil.which("iptables") is None:
        return ""
    return subprocess.run(["iptables", "-S"], capture_output=True, text=True).stdout
