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
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import remote_runtime
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
from remote_runtime.engines.docker_scripts import (
    CODE,
    FIND,
    GIVEN,
    START,
    WORK,
    install,
    platform_words,
    put,
    script_of,
    write_variables,
)
from remote_runtime.engines.docker_steps import Recipe, Stage, StepDoor, unpack
from remote_runtime.engines.venv_layers import copy_tree
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.images import DOCKERFILE, LOCAL, SLIM, Base, Content, ImageSpec

REPOSITORY = "warmcell-image"
DIGEST, PYTHON = "warmcell.image", "warmcell.python"
"""Labels of an image of ours."""

_OWN = ".".join(map(str, sys.version_info[:2]))
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class DockerBuilder(Builder):
    """Builds images of a Docker engine on this host.

    Args:
        root: Directory of its own.
        base_of: Minor version of Python -> tag of the worker's image with it, made where it is not there.
        provisions: Minor version -> requirements of a worker, put into images that others have made.
        door: To the engine.
        kind: Of the worker's image, in the names of images that begin with one; "" where there is only one kind.
    """

    def __init__(
        self, root: Path, base_of: Callable[[str], str], provisions: Callable[[str], Sequence[str]] = lambda python: (),
        door: StepDoor | None = None, kind: str = "",
    ) -> None:  # fmt: skip
        self._root, self._base_of, self._provisions, self._kind = root, base_of, provisions, kind
        self.door = door or StepDoor()

    def tag(self, digest: str) -> str:
        """Return the name of an image; one that began with another worker's image has another name."""
        return f"{REPOSITORY}{self._kind and '-'}{self._kind}:{digest}"

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
        """See `Builder`; a container that runs gets nothing more, so there is nothing `live`."""
        other = parent or ImageSpec(Base(SLIM, python=built.python or _OWN)).digest
        if await self.find(other) is None:
            return built
        return differing(built, await self.packages(built.digest), await self.packages(other))

    async def packages(self, digest: str) -> dict[str, str]:
        """Return name -> version of what an image has installed, asked of it once."""
        kept = self._root / "packages" / f"{digest[:24]}.json"
        with suppress(OSError, ValueError):
            return json.loads(kept.read_text())
        lines: list[str] = []
        ask = Stage(self.door, Recipe(self.tag(digest), f"{FIND}; $PY -m pip list --format=freeze 2>/dev/null"))
        await self._ran(ask, lines.append)
        found = {name: version for name, equals, version in (line.partition("==") for line in lines) if equals}
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept.write_text(json.dumps(found))
        return found

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
        if any(place.iterdir()):
            copy_tree(place, directory)
            os.chown(directory, os.getuid(), os.getgid())  # not the worker's any more, until all of it is given again

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
                put(file, Path(scratch), context)
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
        provisions = self._provisions(python)
        with self._scratch() as scratch:
            wheels = Path(scratch, "wheels")
            await self._fetch(("pip", *provisions), (), python, wheels, Context(self._root), begun, say)
            script = "\n".join((
                "python3 -m venv --without-pip --system-site-packages /opt/python",
                f'/opt/python/bin/python "$(echo {GIVEN}/wheels/pip-*.whl)/pip" install --no-index --no-cache-dir '
                f"--find-links {GIVEN}/wheels --disable-pip-version-check --root-user-action ignore pip "
                + shlex.join(provisions),
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
            write_variables(given / "variables", work)
            mounts, changes, script = {scratch: GIVEN}, [], [START, FIND]
            if step.kind in ("pip", "uv"):
                wheels = given / "wheels"
                await self._fetch(step.words, step.options, python, wheels, work.context, work.begun, work.tell)
                script.append(install(step))
            elif step.kind == "env":
                changes = [f"ENV {name}={json.dumps(value).replace('$', chr(92) + '$')}" for name, value in step.pairs]
            else:
                mounts.update({str(Path(remote_runtime.__file__).parent): f"{CODE}/remote_runtime"})
                script += await asyncio.to_thread(script_of, step, given, work.context)
            recipe = Recipe(self.tag(below), "\n".join(script), mounts, changes, labels)
            await self._kept(recipe, digest, work.begun, work.tell)

    async def _fetch(
        self, words: Sequence[str], options: Sequence[str], python: str, wheels: Path, context: Context,
        begun: StepBegun, say: Say,
    ) -> None:  # fmt: skip
        """Have this machine's pip fetch wheels for the container's Python and system."""
        wheels.mkdir()
        command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input",
                   "--progress-bar=off", "--dest", str(wheels), *platform_words(python), *options]  # fmt: skip
        with installers.netrc_of(context.logins, context.secrets, os.environ) as netrc:
            variables = {**installers.variables_of(os.environ), **netrc}
            code, lines = await commands.run(Command([*command, "--", *words], variables, wheels), say)
        if code:
            raise failed_step(begun, code, map(redactor_of(context), lines))

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
