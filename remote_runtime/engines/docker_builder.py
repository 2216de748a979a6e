"""Images as container images: what the docker engine makes of a spec, a layer for each step.

    spec -> base image -> each step in a container of the layer below -> committed -> warmcell-image:DIGEST

Packages are fetched by this machine's pip, which knows this site's index, proxy, certificates and passwords, and
installed without network. Secrets are sourced from a file that is mounted while the step runs. So neither is in a
layer. Files with relative paths lie in `WORK`, and are copied into the working directory of each session.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import remote_runtime
from remote_runtime.engines import commands, installers
from remote_runtime.engines.building import Builder, Built, Context, Say, StepBegun, Work, failed_step, redactor_of
from remote_runtime.engines.commands import Command
from remote_runtime.engines.docker_steps import Recipe, Stage, StepDoor, unpack
from remote_runtime.engines.venv_layers import copy_tree
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.images import DOCKERFILE, LOCAL, SLIM, Content, ImageSpec, Step

REPOSITORY = "warmcell-image"
DIGEST, PYTHON = "warmcell.image", "warmcell.python"
"""Labels of an image of ours."""

WORK, GIVEN, CODE = "/opt/work", "/run/warmcell-step", "/run/warmcell-code"
"""Where an image has files with relative paths; where a step finds what it is given, and what runs functions."""

_OWN = ".".join(map(str, sys.version_info[:2]))
_START = f'cd "$(cat {WORK}/.directory 2>/dev/null || echo {WORK})"; set -a; . {GIVEN}/variables; set +a'
_FIND = "PY=/opt/python/bin/python; test -x $PY || PY=$(command -v python3)"
_GLIBCS = ("2_28", "2_27", "2_26", "2_24", "2_17")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_INDEX_OPTIONS = ("--index-url", "--extra-index-url", "--find-links", "--trusted-host", "-i", "-f", "--cert")


class DockerBuilder(Builder):
    """Builds images of a Docker engine on this host.

    Args:
        root: Directory of its own.
        base_of: Minor version of Python -> tag of the worker's image with it, made where it is not there.
        provisions: Requirements of a worker, put into images that others have made.
        door: To the engine.
    """

    def __init__(
        self, root: Path, base_of: Callable[[str], str], provisions: Sequence[str] = (), door: StepDoor | None = None
    ) -> None:
        self._root, self._base_of, self._provisions = root, base_of, tuple(provisions)
        self.door = door or StepDoor()

    @staticmethod
    def tag(digest: str) -> str:
        """Return the name of an image."""
        return f"{REPOSITORY}:{digest}"

    async def check(self, spec: ImageSpec) -> None:
        """Refuse what would need a Python from elsewhere."""
        if spec.base.kind != SLIM and spec.base.python:
            raise Failed("unsupported", f"Python {spec.base.python} cannot be added to {spec.base.title}",
                         "begin with an image that has it, or with `Image.debian_slim`")  # fmt: skip

    async def find(self, digest: str) -> Built | None:
        """Return an image that the engine has."""
        facts = await asyncio.to_thread(self.door.facts, self.tag(digest))
        if facts is None:
            return None
        return Built(digest, ((facts["Config"].get("Labels")) or {}).get(PYTHON, ""))

    def lacks(self, spec: ImageSpec) -> tuple[Content, ...]:
        """Return the files of layers that the engine does not have."""
        layers = [spec.base.files, *(step.files for step in spec.steps)]
        tags = map(self.tag, spec.layers)
        lacking = [files for files, tag in zip(layers, tags, strict=True) if self.door.facts(tag) is None]
        return tuple(file for files in lacking for file in files)

    async def build(self, spec: ImageSpec, context: Context, say: Say) -> Built:
        """Run the steps whose layers lack, each in a container of the layer below."""
        await self.check(spec)
        redact = redactor_of(context)
        python = await self._base(spec, context, say)
        for number, (below, digest, step) in enumerate(zip(spec.layers, spec.layers[1:], spec.steps, strict=False), 1):
            found = await self.find(digest)
            begun = StepBegun(number, len(spec.steps), redact(step.title), found is not None)
            say(begun)
            if found is None:
                await self._layer(below, digest, python, Work(step, begun, context, say, redact))
        return Built(spec.digest, python)

    async def compare(self, built: Built, parent: str) -> Built:
        """Return it as it is: a container that runs gets nothing more."""
        return built

    def furnish(self, digest: str, directory: Path) -> None:
        """Copy an image's files with relative paths into a session's working directory."""
        place = self._root / "work" / digest[:24]
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            scratch = Path(tempfile.mkdtemp(dir=place.parent))
            archive = self.door.archive(self.tag(digest), WORK)
            if archive is not None:
                unpack(archive, scratch)
            (scratch / ".directory").unlink(missing_ok=True)
            scratch.replace(place)
        copy_tree(place, directory)

    # ---- the base -----------------------------------------------------------------------------------------

    async def _base(self, spec: ImageSpec, context: Context, say: Say) -> str:
        """Have the first layer, and return the minor version of its Python."""
        digest, base = spec.layers[0], spec.base
        found = await self.find(digest)
        if found is not None:
            return found.python
        begun = StepBegun(0, len(spec.steps), base.title)
        if base.kind == SLIM:
            python = base.python or _OWN
            tag = await asyncio.to_thread(self._base_of, python)
            recipe = Recipe(tag, f"mkdir -p {WORK}", labels={PYTHON: python, DIGEST: digest})
            await self._kept(recipe, digest, begun, say)
            return python
        tag = await asyncio.to_thread(self._foreign, spec, context, begun, say)
        return await self._provisioned(tag, digest, begun, say)

    def _foreign(self, spec: ImageSpec, context: Context, begun: StepBegun, say: Say) -> str:
        """Return the tag of an image that others have made, pulled or built where it is not there."""
        base = spec.base
        if base.kind == DOCKERFILE:
            return self._of_dockerfile(spec, context, begun, say)
        if self.door.facts(base.name) is None:
            if base.kind == LOCAL:
                raise Failed("not-found", f"the engine has no image {base.name}",
                             "build or load it on the runtime's machine, or use `Image.from_registry`")  # fmt: skip
            self.door.pull(base.name, say)
        return base.name

    def _of_dockerfile(self, spec: ImageSpec, context: Context, begun: StepBegun, say: Say) -> str:
        lines: list[str] = []
        tag = f"{REPOSITORY}:file-{spec.base.name}"
        with self._scratch() as scratch:
            for file in spec.base.files:
                _put(file, Path(scratch), context)
            (Path(scratch) / "context").mkdir(exist_ok=True)

            def hear(line: str) -> None:
                lines.append(line)
                say(line)

            wrong = self.door.make(Path(scratch, "context"), Path(scratch, "Dockerfile"), tag, hear)
        if wrong:
            raise failed_step(begun, None, [*lines, wrong])
        return tag

    async def _provisioned(self, tag: str, digest: str, begun: StepBegun, say: Say) -> str:
        """Put what a worker needs beside the Python of a foreign image, and return that Python's minor version."""
        lines: list[str] = []
        ask = Stage(self.door, Recipe(tag, "python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'"))
        code = await self._ran(ask, lines.append)
        if code:
            raise failed_step(StepBegun(0, begun.count, f"python3 in {tag}"), code, lines)
        python = lines[-1].strip()
        with self._scratch() as scratch:
            wheels = Path(scratch, "wheels")
            await self._fetch(("pip", *self._provisions), (), python, wheels, Context(self._root), begun, say)
            script = "\n".join((
                "python3 -m venv --without-pip --system-site-packages /opt/python",
                f'/opt/python/bin/python "$(echo {GIVEN}/wheels/pip-*.whl)/pip" install --no-index --no-cache-dir '
                f"--find-links {GIVEN}/wheels --disable-pip-version-check --root-user-action ignore pip "
                + shlex.join(self._provisions),
                "grep -q '^cell:' /etc/passwd || echo 'cell:x:64321:64321:cell:/session/home:/bin/sh' >> /etc/passwd",
                f"mkdir -p {WORK}",
            ))  # fmt: skip
            os.chmod(scratch, 0o755)
            changes = ("USER 64321:64321", f"ENV PATH=/opt/python/bin:{self._path_of(tag)}")
            recipe = Recipe(tag, script, {scratch: GIVEN}, changes, {PYTHON: python, DIGEST: digest})
            await self._kept(recipe, digest, begun, say)
        return python

    def _path_of(self, tag: str) -> str:
        found = ((self.door.facts(tag) or {}).get("Config") or {}).get("Env") or []
        return next((pair.partition("=")[2] for pair in found if pair.startswith("PATH=")), _PATH)

    # ---- steps --------------------------------------------------------------------------------------------

    async def _layer(self, below: str, digest: str, python: str, work: Work) -> None:
        step, labels = work.step, {PYTHON: python, DIGEST: digest}
        with self._scratch() as scratch:
            given = Path(scratch)
            _write_variables(given / "variables", work)
            mounts, changes, script = {scratch: GIVEN}, [], [_START, _FIND]
            if step.kind in ("pip", "uv"):
                options = await self._packages(step, python, given, work)
                script.append(_install(step, options))
            elif step.kind == "env":
                changes = [f"ENV {name}={json.dumps(value).replace('$', chr(92) + '$')}" for name, value in step.pairs]
            else:
                mounts.update({str(Path(remote_runtime.__file__).parent): f"{CODE}/remote_runtime"})
                script += await asyncio.to_thread(_script, step, given, work.context)
            recipe = Recipe(self.tag(below), "\n".join(script), mounts, changes, labels)
            await self._kept(recipe, digest, work.begun, work.tell)

    async def _packages(self, step: Step, python: str, given: Path, work: Work) -> list[str]:
        """Fetch what a step installs; return its options that are no matter of where it comes from."""
        await self._fetch(step.words, step.options, python, given / "wheels", work.context, work.begun, work.tell)
        kept: list[str] = []
        rest = iter(step.options)
        for word in rest:
            if word in _INDEX_OPTIONS:
                next(rest, None)
            elif not word.startswith(tuple(f"{name}=" for name in _INDEX_OPTIONS)) and word != "--no-index":
                kept.append(word)
        return kept

    async def _fetch(
        self, words: Sequence[str], options: Sequence[str], python: str, wheels: Path, context: Context,
        begun: StepBegun, say: Say,
    ) -> None:  # fmt: skip
        """Have this machine's pip fetch wheels for the container's Python and system."""
        wheels.mkdir()
        command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input",
                   "--progress-bar=off", "--dest", str(wheels), *_platform(python), *options, "--", *words]  # fmt: skip
        lines: list[str] = []
        with installers.netrc_of(context.logins, context.secrets, os.environ) as netrc:
            variables = {**installers.variables_of(os.environ), **netrc}
            code, lines = await commands.run(Command(command, variables, wheels), lambda line: say(line))
        if code:
            redact = redactor_of(context)
            raise failed_step(begun, code, map(redact, lines))

    async def _kept(self, recipe: Recipe, digest: str, begun: StepBegun, say: Say) -> None:
        """Run a recipe and keep its layer, or leave nothing of it."""
        lines: list[str] = []

        def hear(line: str) -> None:
            lines.append(line)
            say(line)

        stage = Stage(self.door, recipe)
        code = await self._ran(stage, hear, self.tag(digest))
        if code:
            raise failed_step(begun, code, lines[-60:])

    async def _ran(self, stage: Stage, say: Callable[[str], None], tag: str = "") -> int:
        """Run a stage in a thread; cancelled, its container is killed and nothing is kept."""

        def work() -> int:
            try:
                code = stage.run(say)
                if tag and code == 0:
                    stage.keep(tag)
                return code
            finally:
                stage.remove()

        running = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.to_thread(stage.stop)
            await asyncio.gather(running, return_exceptions=True)
            raise

    def _scratch(self) -> tempfile.TemporaryDirectory[str]:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        return tempfile.TemporaryDirectory(prefix="step-", dir=self._root)


def _platform(python: str) -> list[str]:
    """Return pip's words for wheels of a Python on this machine's kind of Linux."""
    machine, digits = platform.machine(), python.replace(".", "")
    words = ["--only-binary=:all:", "--python-version", python, "--implementation", "cp"]
    for abi in (f"cp{digits}", "abi3", "none"):
        words += ["--abi", abi]
    for name in (*(f"manylinux_{glibc}" for glibc in _GLIBCS), "manylinux2014", "linux"):
        words += ["--platform", f"{name}_{machine}"]
    return words


def _install(step: Step, options: Sequence[str]) -> str:
    """Return the command that installs what was fetched; what is there already and suits stays."""
    names = [word.partition("@")[0].strip() if " @ " in word else word for word in step.words]
    return (
        f"$PY -m pip install --no-index --find-links {GIVEN}/wheels --no-cache-dir --disable-pip-version-check "
        f"--root-user-action ignore {shlex.join([*options, '--', *names])}"
    )


def _script(step: Step, given: Path, context: Context) -> list[str]:
    """Return the commands of a step that installs no packages of an index, and put what it takes where it finds it."""
    words = shlex.join(step.words)
    for file in step.files:
        _put(replace(file, path=file.path.lstrip("/")), given / _kind(file), context)
    scripts: Mapping[str, Sequence[str]] = {
        "apt": (f"apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {words}",
                "rm -rf /var/lib/apt/lists/*"),
        "run": [line for command in step.words for line in (f"echo {shlex.quote('$ ' + command)}", f"( {command}\n)")],
        "workdir": (f"mkdir -p {words}; cd {words}; pwd > {WORK}/.directory",),
        "function": (f"PYTHONPATH={CODE} $PY -m remote_runtime.worker.imagestep {GIVEN}/inside/function.pickle",),
        "modules": (f"cp -R {GIVEN}/inside/. $($PY -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))')/",),
        "files": (f"test ! -d {GIVEN}/inside || cp -R {GIVEN}/inside/. ./",
                  f"test ! -d {GIVEN}/outside || cp -R {GIVEN}/outside/. /"),
    }  # fmt: skip
    return [*scripts[step.kind]]


def _kind(file: Content) -> str:
    return "outside" if file.path.startswith("/") else "inside"


def _put(file: Content, folder: Path, context: Context) -> None:
    target = folder / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(context.path(file), target)
    target.chmod(0o755 if file.executable else 0o644)


def _write_variables(path: Path, work: Work) -> None:
    """Write what a step's commands have as variables, and no layer keeps: the host's proxies, the step's secrets."""
    found = {name: os.environ[name] for name in _PROXIES if name in os.environ}
    found.update(work.secrets())
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in found.items()))
