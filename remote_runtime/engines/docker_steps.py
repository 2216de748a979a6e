"""The door to a Docker engine for builds: run a step in a container, keep what it left as a layer.

    parent's tag, script, folders -> Stage.run -> exit code -> Stage.keep(tag) -> a new image      stop -> killed

What a step is given (wheels, files, secrets, the host's proxy) lies in folders of the host that the container sees
while it runs. They are mounts, so a layer never holds them. Everything here waits for the engine, so it is called
from threads.
"""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker import errors, types

from remote_runtime.wire.failures import Failed

CALL_S = 600.0
"""A layer of many gigabytes is written within this."""

STAGE = "warmcell.stage"
"""Label of containers that steps run in."""

IDLE = ("python3",)
"""What an image of ours starts, where nobody says what."""

_PIDS = 4096


@dataclass(frozen=True)
class Recipe:
    """One step as a container runs it.

    Args:
        parent: Tag or id of the image below.
        script: For /bin/sh; the first command that fails ends it.
        mounts: Folder of the host -> where the container sees it; it cannot write there.
        changes: Lines of a Dockerfile that are kept with the layer, such as `ENV A="1"`.
        labels: Kept with the layer.
    """

    parent: str
    script: str = ""
    mounts: Mapping[str, str] = field(default_factory=dict)
    changes: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


class StepDoor:
    """One way to a Docker engine, for builds.

    Args:
        url: Of the engine; "" is DOCKER_HOST's, or the local one.
    """

    def __init__(self, url: str = "") -> None:
        self._url = url
        self._lock = threading.Lock()
        self._client: docker.APIClient | None = None

    @property
    def api(self) -> docker.APIClient:
        """The library's client, made when it is first needed."""
        with self._lock:
            if self._client is None:
                found = {"base_url": self._url} if self._url else docker.utils.kwargs_from_env()
                self._client = docker.APIClient(version="auto", timeout=CALL_S, **found)
            return self._client

    def close(self) -> None:
        """Let go of the connections; a later call makes new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def facts(self, tag: str) -> Mapping[str, Any] | None:
        """Return what the engine tells of an image; None where it has none of that name."""
        with named(f"look for {tag}"):
            try:
                return self.api.inspect_image(tag)
            except errors.ImageNotFound:
                return None

    def pull(self, tag: str, say: Callable[[str], None]) -> None:
        """Fetch an image from its registry.

        Raises:
            Failed: code "image", where it cannot be had.
        """
        with named(f"pull {tag}"):
            for line in self.api.pull(tag, stream=True, decode=True):
                if "error" in line:
                    raise Failed("image", f"the image {tag} cannot be pulled: {line['error']}",
                                 "check its name, or bring it by `docker load` on the runtime's machine")  # fmt: skip
                if "progressDetail" not in line:
                    say(str(line.get("status", "")))

    def make(self, context: Path, dockerfile: Path, tag: str, say: Callable[[str], None]) -> str:
        """Build a Dockerfile; returns "" or what went wrong.

        Args:
            context: Folder that COPY takes files from.
            dockerfile: The file.
            tag: Name of the image.
            say: Told each line of the log.
        """
        with named(f"build {tag}"):
            asked = {"path": str(context), "dockerfile": str(dockerfile), "tag": tag, "rm": True, "forcerm": True}
            for line in self.api.build(decode=True, **asked):
                if "error" in line:
                    return str(line["error"])
                for text in filter(None, str(line.get("stream", "")).splitlines()):
                    say(text)
        return ""

    def archive(self, tag: str, path: str) -> bytes | None:
        """Return a folder of an image as a tar file; None where the image has none."""
        with named(f"read {path} of {tag}"):
            made = self.api.create_container(tag, command=["true"], labels={STAGE: "read"})
            try:
                chunks, _ = self.api.get_archive(made["Id"], path)
                return b"".join(chunks)
            except errors.NotFound:
                return None
            finally:
                self.api.remove_container(made["Id"], force=True, v=True)


class Stage:
    """A step on its way.

    Args:
        door: To the engine.
        recipe: What runs.
    """

    def __init__(self, door: StepDoor, recipe: Recipe) -> None:
        self._door, self._recipe = door, recipe
        self._container, self._stopped = "", False

    def run(self, say: Callable[[str], None]) -> int:
        """Run the step to its end and return its exit code.

        Args:
            say: Told each line that it writes.
        """
        recipe, api = self._recipe, self._door.api
        with named("run a step"):
            mounts = [types.Mount(there, here, type="bind", read_only=True) for here, there in recipe.mounts.items()]
            limits = api.create_host_config(
                mounts=mounts, pids_limit=_PIDS, security_opt=["no-new-privileges"], init=True
            )  # fmt: skip
            made = api.create_container(
                recipe.parent, entrypoint=["/bin/sh", "-ec"], command=[recipe.script or "true"], user="0:0",
                labels={STAGE: "step", **recipe.labels}, host_config=limits,
            )  # fmt: skip
            self._container = made["Id"]
            if self._stopped:
                return -1
            api.start(self._container)
            for line in _lines(api.logs(self._container, stream=True, follow=True)):
                say(line)
            return int(api.wait(self._container)["StatusCode"])

    def keep(self, tag: str) -> None:
        """Make an image of what the step has left; it starts whatever its worker is started by."""
        parent = (self._door.facts(self._recipe.parent) or {}).get("Config", {})
        # An empty command counts as none, and the step's own script would stay in its place.
        start = {"Entrypoint": [], "Cmd": list(IDLE)}
        name, _, version = tag.partition(":")
        with named(f"keep {tag}"):
            self._door.api.commit(
                self._container, repository=name, tag=version,
                conf={**start, "User": parent.get("User") or "0:0", "Labels": dict(self._recipe.labels)},
                changes=list(self._recipe.changes),
            )  # fmt: skip

    def stop(self) -> None:
        """Kill the step, if it runs; callable from another thread."""
        self._stopped = True
        with suppress(Failed), named("stop a step"), suppress(errors.APIError):
            if self._container:
                self._door.api.kill(self._container)

    def remove(self) -> None:
        """Remove the container."""
        with suppress(Failed), named("remove a step"), suppress(errors.NotFound):
            if self._container:
                self._door.api.remove_container(self._container, force=True, v=True)


def unpack(archive: bytes, folder: Path) -> None:
    """Write the files of a tar file below a folder; links and special files, and what leads out, are left out."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        for member in packed:
            parts = Path(member.name).parts[1:]  # the first is the name of the folder itself
            if not parts or ".." in parts or not (member.isfile() or member.isdir()):
                continue
            target = folder.joinpath(*parts)
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            content = packed.extractfile(member)
            if content is not None:
                target.write_bytes(content.read())
                target.chmod(member.mode & 0o755 | 0o600)


def _lines(output: Iterator[bytes]) -> Iterator[str]:
    rest = ""
    for piece in output:
        *whole, rest = (rest + piece.decode(errors="replace")).replace("\r", "\n").split("\n")
        yield from filter(None, map(str.rstrip, whole))
    if rest.strip():
        yield rest.rstrip()


@contextmanager
def named(what: str) -> Iterator[None]:
    """Turn whatever the engine, or the way to it, raises into one failure."""
    try:
        yield
    except errors.APIError as error:
        text = str(error.explanation or error)
        code = "disk-full" if "no space left" in text.lower() else "image"
        raise Failed(code, f"the Docker engine could not {what}: {text}", "see `docker info` and its log") from error
    except (errors.DockerException, OSError) as error:
        raise Failed("unavailable", f"no Docker engine answers, so it could not {what}: {error}",
                     "start dockerd, and let this user into group docker or give DOCKER_HOST") from error  # fmt: skip
