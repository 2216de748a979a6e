r"""The image of a worker, for a Python version: named after all that it is made of, built when the engine has none.

    versions.toml, Dockerfile, the gateway's own versions -> Recipe -> tag -> the engine has it?
                                           \- no -> wheels by this machine's pip -> build without network

pip runs here and not in the build: it knows this site's index, proxy, certificates and passwords, and none of them
gets into a layer. `python -m remote_runtime.engines.images` builds from the command line.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import logging
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import remote_runtime
from remote_runtime.engines.docker_door import Door
from remote_runtime.wire import versions
from remote_runtime.wire.failures import Failed

DIRECTORY = Path(remote_runtime.__file__).parents[1] / "images"
"""Found beside this package and not by import: a folder named `images` is in many a working directory."""

REPOSITORY = "warmcell-worker"

_GLIBCS = ("2_28", "2_27", "2_26", "2_24", "2_17")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """All that decides what is in an image.

    Args:
        python: Minor version, such as "3.11".
        bases: Images to start from, the first that can be had.
        requirements: For pip, one each.
        index: Beside the site's own; "" for none.
        dockerfile: Its text.
    """

    python: str
    bases: tuple[str, ...]
    requirements: tuple[str, ...]
    index: str
    dockerfile: str

    def tag(self, base_id: str) -> str:
        """Return the image's name; another base or another requirement is another image."""
        facts = "\n".join((self.dockerfile, self.python, base_id, self.index, *self.requirements))
        return f"{REPOSITORY}:py{self.python}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"


def recipe(python: str, variant: str, pins: Mapping[str, str], directory: Path = DIRECTORY) -> Recipe:
    """Look an image up in the table.

    Args:
        python: Minor version of the kernel's Python.
        variant: A key of the table's variants.
        pins: Package -> the version that it must have.
        directory: Where table and Dockerfile lie.

    Raises:
        Failed: code "unavailable", where the table has no such row.
    """
    table = _table(directory)
    for kind, wanted in (("python", python), ("variant", variant)):
        if wanted not in table[kind]:
            raise Failed("unavailable", f"there is no image for {kind} {wanted!r}",
                         f"choose one of {', '.join(table[kind])}, or name an image of your own")  # fmt: skip
    row = table["variant"][variant]
    asked = [*table["packages"], *row["packages"]]
    pinned = tuple(f"{name}=={pins[name]}" if (name := _name(line)) in pins else line for line in asked)
    dockerfile = (directory / "Dockerfile").read_text()
    return Recipe(python, tuple(table["python"][python]), pinned, row["index"], dockerfile)


def _table(directory: Path) -> dict[str, Any]:
    try:
        toml = importlib.import_module("tomllib")
    except ModuleNotFoundError:  # Python 3.10
        toml = importlib.import_module("tomli")
    return toml.loads((directory / "versions.toml").read_text())


def _name(requirement: str) -> str:
    return requirement.partition("==")[0].partition(">=")[0].strip()


def pins_here(python: str, directory: Path = DIRECTORY) -> dict[str, str]:
    """Return the versions installed beside the gateway, which is what kernels of this site most likely have.

    Args:
        python: The image's; with another minor version nothing is pinned, the same versions may not exist for it.
        directory: Where the table lies.
    """
    if python != minor_version():
        return {}
    names = [_name(line) for line in _table(directory)["packages"]]
    return {name: found for name in names if name != "pip" and (found := versions.installed(name)) is not None}


def minor_version() -> str:
    """Return the minor version of this Python."""
    return ".".join(map(str, sys.version_info[:2]))


def ensure(door: Door, asked: Recipe, say: Callable[[str], None]) -> str:
    """Return the name of an image that the engine has, built before where it had none.

    Args:
        door: To the engine.
        asked: What is in it.
        say: Told each line of the build's log.

    Raises:
        Failed: No base can be had, a package cannot be had, or a step of the build failed.
    """
    base = _base(door, asked.bases)
    tag = asked.tag(door.image(base))
    if door.image(tag):
        return tag
    say(f"the image {tag} is built: {base} with {', '.join(asked.requirements)}")
    with tempfile.TemporaryDirectory(prefix="warmcell-image-") as scratch:
        context = Path(scratch)
        _fetch(asked, context / "wheels", say)
        (context / "Dockerfile").write_text(asked.dockerfile)
        (context / "requirements.txt").write_text("\n".join(asked.requirements) + "\n")
        for line in door.build(context, tag, {"BASE": base}):
            say(line)
    return tag


def _base(door: Door, bases: Sequence[str]) -> str:
    """Return the first base that the engine has, or the first that it can pull."""
    there = next((name for name in bases if door.image(name)), "")
    if there:
        return there
    reasons = []
    for name in bases:
        try:
            door.pull(name)
            return name
        except Failed as failure:
            reasons.append(failure.message)
    raise Failed("unavailable", f"no base image can be had: {'; '.join(reasons)}",
                 f"bring one with Python in it and name it {bases[0]}: `docker tag IMAGE {bases[0]}`")  # fmt: skip


def _fetch(asked: Recipe, wheels: Path, say: Callable[[str], None]) -> None:
    """Have this machine's pip fetch every wheel, for the container's Python and system."""
    if subprocess.run([sys.executable, "-m", "pip", "-V"], capture_output=True).returncode:
        raise Failed("unavailable", f"{sys.executable} has no pip, which fetches an image's packages",
                     f"install it: `{sys.executable} -m ensurepip`")  # fmt: skip
    done = subprocess.run(_pip(asked, wheels), capture_output=True, text=True)
    say(f"pip fetched {len(list(wheels.glob('*.whl')))} packages")
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["pip failed"]
        raise Failed("unavailable", f"a package of the image cannot be had: {last[0]}",
                     "check the index in pip's configuration", {"log": done.stderr[-4000:]})  # fmt: skip


def _pip(asked: Recipe, wheels: Path) -> list[str]:
    machine = platform.machine()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(wheels), "--only-binary=:all:"]
    command += ["--python-version", asked.python, "--implementation", "cp"]  # and no abi: naming some loses abi3
    for glibc in _GLIBCS:
        command += ["--platform", f"manylinux_{glibc}_{machine}"]
    command += ["--platform", f"manylinux2014_{machine}", "--platform", f"linux_{machine}"]
    if asked.index:
        command += ["--extra-index-url", asked.index]
    return [*command, *asked.requirements]


def main(arguments: Sequence[str]) -> int:
    """Build an image from the command line and print its name; returns the exit code."""
    parser = argparse.ArgumentParser("python -m remote_runtime.engines.images", description="Build a worker's image.")
    parser.add_argument("--python", default=minor_version(), help="minor version, such as 3.11")
    parser.add_argument("--variant", default="plain", help="a variant of versions.toml")
    asked = parser.parse_args(arguments)
    try:
        made = recipe(asked.python, asked.variant, pins_here(asked.python))
        print(ensure(Door("", "images"), made, lambda line: print(line, file=sys.stderr, flush=True)))
    except Failed as failure:
        print(failure, failure.detail.get("log", ""), sep="\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
