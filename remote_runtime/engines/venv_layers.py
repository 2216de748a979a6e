"""A layer of a virtual environment on the disk: its own packages and files, standing on those of the layers below.

    layers/DIGEST/
      bin/python, lib/pythonX.Y/site-packages     what this step has installed, and nothing else
      work/                                       files with relative paths, those of the layers below among them
      layer.json                                  written last: without it the layer is not whole

A layer finds those below it, and at the very end the runtime's own packages, by a module that Python imports as it
starts. So a step costs what it adds, and pip sees all that is there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from remote_runtime.engines import records

LINKED_BYTES = 32 << 20
"""A larger file of an image is linked into a session's working directory rather than copied."""

_START = '''"""Made by the runtime: what this environment stands on."""
import os, site
if os.environ.get("IMAGE_DIGEST") != {digest!r}:
    os.environ.update({variables!r}, IMAGE_DIGEST={digest!r})
    os.environ["PATH"] = os.pathsep.join([*{programs!r}, *filter(None, [os.environ.get("PATH")])])
for folder in {below!r}:
    site.addsitedir(folder)
'''
_MARK, _MODULE = "layer.json", "_warmcell_layer"
_DISTRIBUTION = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+?)(?:-py[\d.]+.*)?\.(?:dist|egg)-info")


@dataclass(frozen=True)
class Layer:
    """What is known of a whole layer.

    Args:
        digest: Of the image that ends with it.
        folder: Where it lies.
        python: Interpreter that it was made for, which may be another one's virtual environment.
        minor: Minor version of that.
        sites: Its own folders of packages.
        below: Those of the layers below, the nearest first.
        own_runtime: Those of the runtime, at the end.
        variables: That its processes have.
        directory: Where commands run, beneath `work`.
        work: Where files with relative paths lie; "" where there are none.
    """

    digest: str
    folder: str
    python: str
    minor: str
    sites: tuple[str, ...] = ()
    below: tuple[str, ...] = ()
    own_runtime: tuple[str, ...] = ()
    variables: Mapping[str, str] | None = None
    directory: str = "."
    work: str = ""

    @property
    def interpreter(self) -> Path:
        """The layer's own Python."""
        return Path(self.folder) / "bin/python"

    @property
    def programs(self) -> list[str]:
        """Folders of programs, this layer's first."""
        return [str(Path(site).parents[2] / "bin") for site in (*self.sites, *self.below)]

    def write_start(self) -> None:
        """Write the module by which its Python finds what is below."""
        facts = {"digest": self.digest, "variables": dict(self.variables or {}), "programs": self.programs}
        folder = Path(self.sites[0])
        (folder / f"{_MODULE}.py").write_text(_START.format(**facts, below=[*self.below, *self.own_runtime]))
        (folder / f"{_MODULE}.pth").write_text(f"import {_MODULE}\n")

    def keep(self) -> None:
        """Write down that the layer is whole."""
        records.write(Path(self.folder) / _MARK, asdict(self))


def layer_at(folder: Path) -> Layer | None:
    """Return the layer in a folder; None where there is no whole one."""
    try:
        facts: dict[str, Any] = json.loads((folder / _MARK).read_text())
        facts.update({name: tuple(facts[name]) for name in ("sites", "below", "own_runtime")})
        layer = Layer(**facts)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return layer if layer.interpreter.exists() and str(folder) == layer.folder else None


def site_of(folder: Path, minor: str) -> Path:
    """Return a virtual environment's folder of packages."""
    return folder / "lib" / f"python{minor}" / "site-packages"


def packages_in(sites: Sequence[str]) -> dict[str, str]:
    """Return name -> version of what is installed in folders, the first one's where several have it."""
    found: dict[str, str] = {}
    for site in sites:
        with suppress(OSError):
            for name in sorted(os.listdir(site)):
                match = _DISTRIBUTION.fullmatch(name)
                if match is not None:
                    found.setdefault(re.sub(r"[-_.]+", "-", match["name"]).lower(), match["version"])
    return found


def own_sites() -> tuple[str, ...]:
    """Return the folders of packages of the Python that this process runs in."""
    entries = [entry for entry in sys.path if {"site-packages", "dist-packages"} & set(Path(entry).parts)]
    return tuple(dict.fromkeys(entry for entry in entries if os.path.isdir(entry)))


def copy_tree(source: Path, target: Path, link_large: bool = False) -> None:
    """Copy files into a folder; those that are there stay as they are.

    Args:
        source: Folder with the files.
        target: Where they go; nothing is written through a link that lies in it.
        link_large: Whether large files become links, so that a session with many gigabytes begins at once.
    """
    for folder, folders, names in os.walk(source):
        under = target / Path(folder).relative_to(source)
        if under.is_symlink() or (under.exists() and not under.is_dir()):
            folders.clear()
            continue
        under.mkdir(parents=True, exist_ok=True)
        for name in names:
            here, there = Path(folder, name), under / name
            if os.path.lexists(there):
                continue
            if link_large and not here.is_symlink() and here.stat().st_size > LINKED_BYTES:
                there.symlink_to(here)
            else:
                shutil.copy2(here, there, follow_symlinks=False)
