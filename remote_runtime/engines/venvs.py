"""Images as virtual environments: what the process engine makes of a spec, layer by layer.

    spec -> base layer -> a layer for each step -> bin/python of the last one -> a zygote runs in it
            state/images/layers/DIGEST, kept for every image that begins alike

No layer has a copy of what lies below it, the runtime's own packages least of all: an image of this engine is the
runtime's environment with what the image names in front of it. Steps run as this user on this machine, as cells do.
Debian packages, foreign base images and absolute paths would be the machine's own; they are refused.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from weakref import WeakValueDictionary

from remote_runtime.engines import commands, installers
from remote_runtime.engines.building import (
    Builder,
    Built,
    Context,
    Say,
    StepBegun,
    Work,
    differing,
    failed_step,
    redactor_of,
)
from remote_runtime.engines.commands import Command
from remote_runtime.engines.venv_layers import Layer, copy_tree, layer_at, own_sites, packages_in, site_of
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.images import SLIM, Content, ImageSpec, Step, is_inside

FUNCTIONS = "remote_runtime.worker.imagestep"
"""What runs the functions of an image; started by name, because engines import nothing of it."""

OWN = ".".join(map(str, sys.version_info[:2]))
"""Minor version of the runtime's Python."""

_ROOT = str(Path(__file__).resolve().parents[2])
_HINT = "leave it out, or use a runtime with the docker engine: `warmcell up --engine docker`"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FOLDER = 24
"""Of a digest, what names a layer's folder: the path of a program in it must fit the first line of a script."""

_FULL = (errno.ENOSPC, errno.EDQUOT)


class VenvBuilder(Builder):
    """Builds images as virtual environments.

    Args:
        root: Directory of its own.
        python_of: Minor version -> path of an interpreter of this machine.
        host: The variables that pip's configuration, proxies and certificates are read from.
    """

    def __init__(self, root: Path, python_of: Callable[[str], str], host: Mapping[str, str] | None = None) -> None:
        self._root, self._python_of = root, python_of
        self._host = dict(os.environ if host is None else host)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def interpreter(self, digest: str) -> str:
        """Return the path of an image's Python.

        Raises:
            Failed: code "not-found", where the image is not there.
        """
        layer = layer_at(self._folder(digest))
        if layer is None:
            raise Failed("not-found", f"the image {digest[:12]} is not built here",
                         "choose it again with `%gpu use --image`, which builds it", {"image": digest})  # fmt: skip
        return str(layer.interpreter)

    async def check(self, spec: ImageSpec) -> None:
        """Refuse what would change the machine, and a Python that it does not have."""
        if spec.base.kind != SLIM:
            raise _refused(f"begin with {spec.base.title}, its workers are processes of this machine")
        for step in spec.steps:
            if step.kind == "apt":
                raise _refused(f"install the Debian packages {' '.join(step.words)}: they would be the whole machine's")
            paths = [*(file.path for file in step.files), *(step.words if step.kind == "workdir" else ())]
            outside = next((path for path in paths if not is_inside(path)), None)
            if outside is not None:
                raise _refused(f"put files at {outside}: that is the machine's own",
                               "give a relative path, it lies in the working directory of each session")  # fmt: skip
        await asyncio.to_thread(self._python_of, spec.base.python or OWN)

    async def find(self, digest: str) -> Built | None:
        """Return an image whose last layer is whole."""
        layer = await asyncio.to_thread(layer_at, self._folder(digest))
        return Built(digest, layer.minor) if layer is not None else None

    def lacks(self, spec: ImageSpec) -> tuple[Content, ...]:
        """Return the files of the layers that are not there."""
        layers = spec.layers[1:]
        waiting = [step for step, digest in zip(spec.steps, layers, strict=True) if not self._has(digest)]
        return tuple(file for step in waiting for file in step.files)

    async def build(self, spec: ImageSpec, context: Context, say: Say) -> Built:
        """Make the layers that lack; one that fails, or is cancelled, is removed."""
        await self.check(spec)
        redact = redactor_of(context)
        async with self._lock(spec.layers[0]):
            layer = await self._base(spec, say)
        for number, (digest, step) in enumerate(zip(spec.layers[1:], spec.steps, strict=True), 1):
            async with self._lock(digest):  # two images that begin alike are built at the same time
                found = await asyncio.to_thread(layer_at, self._folder(digest))
                begun = StepBegun(number, len(spec.steps), redact(step.title), found is not None)
                say(begun)
                layer = found or await self._made(digest, layer, Work(step, begun, context, say, redact))
        return Built(spec.digest, layer.minor)

    async def compare(self, built: Built, parent: str) -> Built:
        """See `Builder`; a session gets folders of packages that change nothing of what it has."""
        return await asyncio.to_thread(self._compared, built, parent)

    def furnish(self, digest: str, directory: Path) -> None:
        """Copy an image's files into a session's working directory; large ones are linked."""
        layer = layer_at(self._folder(digest))
        if layer is not None and layer.work:
            copy_tree(Path(layer.work), directory, link_large=True)

    def _compared(self, built: Built, parent: str) -> Built:
        layer, other = layer_at(self._folder(built.digest)), layer_at(self._folder(parent)) if parent else None
        if layer is None:
            return built
        before = (*other.sites, *other.below) if other else ()
        mine = (*layer.sites, *layer.below)
        old, new = packages_in([*before, *(other or layer).own_runtime]), packages_in([*mine, *layer.own_runtime])
        told = differing(built, new, old)
        goes_on = mine[len(mine) - len(before) :] == before and (other or layer).minor == layer.minor == OWN
        live = mine[: len(mine) - len(before)] if goes_on and not told.changed else ()
        return replace(told, live=live)

    def _folder(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise Failed("not-found", f"{digest[:80]!r} names no image", "choose one with `%gpu use --image`")
        return self._root / "layers" / digest[:_FOLDER]

    def _lock(self, digest: str) -> asyncio.Lock:
        return self._locks.setdefault(digest, asyncio.Lock())

    def _has(self, digest: str) -> bool:
        return layer_at(self._folder(digest)) is not None

    async def _base(self, spec: ImageSpec, say: Say) -> Layer:
        """Return the layer that a Python alone is."""
        digest, minor = spec.layers[0], spec.base.python or OWN
        found = await asyncio.to_thread(layer_at, self._folder(digest))
        python = await asyncio.to_thread(self._python_of, minor)
        if found is not None and found.python == python:
            return found
        bare = Layer(digest, str(self._folder(digest)), python, minor)
        return await self._whole(bare, StepBegun(0, len(spec.steps), spec.base.title), say, _nothing)

    async def _made(self, digest: str, below: Layer, work: Work) -> Layer:
        variables = {**(below.variables or {}), **dict(work.step.pairs)}
        directory = work.step.words[0] if work.step.kind == "workdir" else below.directory
        layer = replace(
            below, digest=digest, folder=str(self._folder(digest)), sites=(), below=(*below.sites, *below.below),
            variables=variables, directory=directory,
        )  # fmt: skip
        return await self._whole(layer, work.begun, work.say, lambda made: self._done(made, work))

    async def _whole(
        self, layer: Layer, begun: StepBegun, say: Say, fill: Callable[[Layer], Awaitable[Layer]]
    ) -> Layer:
        """Make a layer, or leave nothing of it."""
        folder = Path(layer.folder)
        try:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            await self._environment(layer, begun)
            layer = await fill(self._started(layer))
            layer.keep()
            return layer
        except BaseException as error:  # cancelled ones too: what is half made must not be met again
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))
            if isinstance(error, OSError):
                raise _of_disk(error, begun) from error
            raise

    async def _environment(self, layer: Layer, begun: StepBegun) -> None:
        Path(layer.folder).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        words = [layer.python, "-m", "venv", "--without-pip", layer.folder]
        command = Command(words, installers.variables_of(self._host), Path(layer.folder).parent)
        code, lines = await commands.run(command, lambda line: None)
        if code:
            raise failed_step(replace(begun, title=f"{layer.python} -m venv"), code, lines)

    def _started(self, layer: Layer) -> Layer:
        """Return the layer with its own folder, able to start."""
        own = own_sites() if layer.minor == OWN else ()
        made = replace(layer, sites=(str(site_of(Path(layer.folder), layer.minor)),), own_runtime=own)
        made.write_start()
        return made

    async def _done(self, layer: Layer, work: Work) -> Layer:
        """Do what a step says."""
        kind = work.step.kind
        if kind in ("pip", "uv"):
            await self._install(layer, work)
        elif kind == "modules":
            await asyncio.to_thread(_place, work.step.files, Path(layer.sites[0]), work.context)
        elif kind in ("files", "run", "function"):
            return await self._worked(layer, work)
        return layer

    async def _install(self, layer: Layer, work: Work) -> None:
        uv = installers.uv_path()
        if work.step.kind == "uv" and not uv:
            work.say("uv is not on this machine: pip installs")
        constraints = Path(layer.folder) / "constraints.txt"
        constraints.write_text("\n".join(_held(layer, work.step)) + "\n")
        words = installers.words_of(work.step, layer.interpreter, constraints, uv)
        with installers.netrc_of(work.context.logins, work.context.secrets, self._host) as netrc:
            await self._run(words, layer, work, Path(layer.folder), netrc)

    async def _worked(self, layer: Layer, work: Work) -> Layer:
        """Do a step that leaves files, upon a copy of those below."""
        place = Path(layer.folder) / "work"
        await asyncio.to_thread(copy_tree, Path(layer.work or os.devnull), place)
        directory = place / layer.directory
        directory.mkdir(parents=True, exist_ok=True)
        if work.step.kind == "files":
            await asyncio.to_thread(_place, work.step.files, directory, work.context)
        elif work.step.kind == "run":
            for line in work.step.words:
                work.say(work.redact(f"$ {line}"))
                await self._run(["/bin/sh", "-c", line], layer, work, directory)
        else:
            words = [str(layer.interpreter), "-m", FUNCTIONS, str(work.context.path(work.step.files[0]))]
            await self._run(words, layer, work, directory, {"PYTHONPATH": _ROOT})
        return replace(layer, work=str(place))

    async def _run(
        self, words: list[str], layer: Layer, work: Work, directory: Path, more: Mapping[str, str] | None = None
    ) -> None:
        variables = {**installers.variables_of(self._host), **(layer.variables or {}), **work.secrets(), **(more or {})}
        variables["PATH"] = os.pathsep.join([*layer.programs, variables.get("PATH", os.defpath)])
        command = Command(words, variables, directory)
        code, lines = await commands.run(command, lambda line: work.say(work.redact(line)))
        if code:
            raise failed_step(work.begun, code, map(work.redact, lines))


async def _nothing(layer: Layer) -> Layer:
    return layer


def _held(layer: Layer, step: Step) -> list[str]:
    """Return what uv shall not install in another version: what is below, but for what the step itself names."""
    names = {word.partition("[")[0].strip().lower().replace("_", "-") for word in step.words}
    below = packages_in([*layer.below, *layer.own_runtime])
    return [f"{name}=={version}" for name, version in below.items() if name not in names and "+" not in version]


def _place(files: tuple[Content, ...], folder: Path, context: Context) -> None:
    """Put files where their paths say; the last of two with one path counts."""
    for file in files:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copyfile(context.path(file), target)
        target.chmod(0o755 if file.executable else 0o644)


def _refused(what: str, hint: str = _HINT) -> Failed:
    return Failed("unsupported", f"the process engine cannot {what}", hint, {"engine": "process"})


def _of_disk(error: OSError, begun: StepBegun) -> Failed:
    if error.errno in _FULL:
        return failed_step(begun, None, ["No space left on device"])
    where = f"step {begun.number} of {begun.count}, `{begun.title}`"
    return Failed("image", f"{where}, failed: {error}", "see `warmcell logs` of the runtime")
