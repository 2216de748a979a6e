"""What an image is made of, as frozen data that travels: a base and steps, known by their content.

    Image (builders) -> ImageSpec -> JSON -> gateway -> Builder: one layer for each step -> digest -> Environment.image

Two specs with the same content are one image, built once. A spec that goes on from another one shares its layers. Files
are in it by digest; passwords and secrets are not in it at all: a step says which variables it wants, by name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from remote_runtime.wire.failures import Failed

SLIM, REGISTRY, DOCKERFILE, LOCAL = "slim", "registry", "dockerfile", "local"
"""Kinds of bases: a plain Python; a tag of a registry; a Dockerfile; a tag that the engine has."""

KINDS: Mapping[str, str] = {
    "pip": "pip install",
    "uv": "uv pip install",
    "apt": "apt-get install",
    "run": "run",
    "function": "run function",
    "env": "set",
    "workdir": "workdir",
    "files": "add",
    "modules": "add module",
}
"""Kind of a step -> how it is told to people."""

STEPS, FILES = 200, 20_000
"""An image has no more steps, and no more files."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VERSION = re.compile(r"\d+\.\d+")
_SHOWN = 60


@dataclass(frozen=True)
class Login:
    """A name and a password for a host that packages come from."""

    host: str
    user: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True)
class Content:
    """A file of an image.

    Args:
        path: Where it goes; relative paths are in the working directory, or beneath the modules.
        digest: SHA-256 of its content.
        size_bytes: Of its content.
        executable: Whether it can be run.
    """

    path: str
    digest: str
    size_bytes: int
    executable: bool = False


@dataclass(frozen=True)
class Base:
    """What an image starts from.

    Args:
        kind: "slim", "registry", "dockerfile" or "local".
        name: A tag; a Dockerfile's own digest.
        python: Minor version of Python in it, or to be added to it; "" for the one that it has.
        files: A Dockerfile's context.
    """

    kind: str = SLIM
    name: str = ""
    python: str = ""
    files: tuple[Content, ...] = ()

    @property
    def title(self) -> str:
        """The base in words."""
        plain = f"python {self.python}" if self.kind == SLIM else self.name[:_SHOWN]
        return f"a Dockerfile ({self.name[:12]})" if self.kind == DOCKERFILE else plain


@dataclass(frozen=True)
class Step:
    """One step; each makes a layer.

    Args:
        kind: A key of `KINDS`.
        words: Packages, commands, a path or module names.
        options: More words for the tool, such as "--pre".
        pairs: Variables and their values.
        files: What is added, or the function with its arguments.
        secrets: Names of variables that are set while the step runs, and never afterwards.
        nonce: Makes the step another one than the same step before it.
    """

    kind: str
    words: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    files: tuple[Content, ...] = ()
    secrets: tuple[str, ...] = ()
    nonce: str = ""

    @property
    def title(self) -> str:
        """The step in words, in one short line."""
        words = self.words or tuple(name for name, _ in self.pairs) or tuple(file.path for file in self.files)
        text = " ".join(f"{KINDS[self.kind]} {' '.join(words)}".split())
        return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


@dataclass(frozen=True)
class ImageSpec:
    """All that decides what is in an image.

    Args:
        base: What it starts from.
        steps: In order.
        owner: Whose it is, where passwords or secrets have a part in it; "" for everybody's.
    """

    base: Base
    steps: tuple[Step, ...] = ()
    owner: str = ""

    @property
    def layers(self) -> tuple[str, ...]:
        """Digests of the base and of each step upon all that is below it."""
        found = [_digest(["base", self.owner, asdict(self.base)])]
        for step in self.steps:
            # A function is known by what it does, which its first option tells: its pickled bytes are never the same.
            step = replace(step, files=()) if step.kind == "function" else step
            found.append(_digest([found[-1], asdict(step)]))
        return tuple(found)

    @property
    def digest(self) -> str:
        """What the image is known by."""
        return self.layers[-1]

    @property
    def files(self) -> tuple[Content, ...]:
        """Every file in it."""
        return (*self.base.files, *(file for step in self.steps for file in step.files))

    @property
    def secrets(self) -> frozenset[str]:
        """Names of the variables that its steps want."""
        return frozenset(name for step in self.steps for name in step.secrets)

    @property
    def variables(self) -> dict[str, str]:
        """Variables that workers of it have, later ones in place of earlier ones."""
        return {name: value for step in self.steps if step.kind == "env" for name, value in step.pairs}

    @property
    def json(self) -> str:
        """The spec as it travels."""
        return json.dumps(asdict(self), sort_keys=True)

    def owned(self, owner: str) -> ImageSpec:
        """Return the image as one user's own."""
        return replace(self, owner=owner)


def spec_from(text: str) -> ImageSpec:
    """Return a spec that has travelled, once it is known to be one.

    Raises:
        Failed: code "protocol", for a text that is none.
    """
    try:
        facts = json.loads(text)
        spec = ImageSpec(_base(facts["base"]), tuple(_step(step) for step in facts["steps"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failed("protocol", f"an image's spec cannot be read: {error!r}", "install the same version of warmcell "
                     "on both ends") from error  # fmt: skip
    _check(spec)
    return spec


def _base(facts: Mapping[str, Any]) -> Base:
    return Base(str(facts["kind"]), str(facts["name"]), str(facts["python"]), _contents(facts["files"]))


def _step(facts: Mapping[str, Any]) -> Step:
    pairs = tuple((str(name), str(value)) for name, value in facts["pairs"])
    words, options, secrets = (tuple(map(str, facts[field])) for field in ("words", "options", "secrets"))
    return Step(str(facts["kind"]), words, options, pairs, _contents(facts["files"]), secrets, str(facts["nonce"]))


def _contents(found: Sequence[Mapping[str, Any]]) -> tuple[Content, ...]:
    return tuple(
        Content(str(f["path"]), str(f["digest"]), int(f["size_bytes"]), bool(f["executable"])) for f in found
    )


def _check(spec: ImageSpec) -> None:
    """Refuse what no builder of ours sends."""
    named = [name for step in spec.steps for name, _ in step.pairs] + list(spec.secrets)
    problems = (
        (spec.base.kind not in (SLIM, REGISTRY, DOCKERFILE, LOCAL), f"no base is called {spec.base.kind!r}"),
        (bool(spec.base.python and not _VERSION.fullmatch(spec.base.python)), "its Python is no minor version"),
        (any(step.kind not in KINDS for step in spec.steps), "a step is of no known kind"),
        (len(spec.steps) > STEPS, f"it has more than {STEPS} steps"),
        (len(spec.files) > FILES, f"it has more than {FILES} files"),
        (not all(_DIGEST.fullmatch(file.digest) for file in spec.files), "a file's digest is none"),
        (not all(map(_VARIABLE.fullmatch, named)), "a variable's name is none"),
        (not all(is_inside(f.path) for s in spec.steps for f in s.files if s.kind == "modules"), "a module leads out"),
        (not all(_is_path(file.path) for file in spec.files), "the path of a file leads out of where it belongs"),
    )
    for holds, what in problems:
        if holds:
            raise Failed("protocol", f"an image's spec cannot be used: {what}", "see the manual of `warmcell.Image`")


def is_inside(path: str) -> bool:
    """Tell whether a path is relative and stays below where it begins."""
    return bool(path) and not path.startswith("/") and _is_path(path)


def _is_path(path: str) -> bool:
    return bool(path) and "\0" not in path and ".." not in PurePosixPath(path).parts


def _digest(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
