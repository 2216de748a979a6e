"""The door to the Docker engine: its API in our words, blocking, with one kind of failure.

    create(arguments) -> id -> start -> inspect -> Found -> remove          events() -> (action, worker id)

Everything here waits for the engine, so it is called from threads. A call that meets no engine, or one that
refuses, raises `Failed`; what is gone already is no failure.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker import errors, types

from remote_runtime.wire.failures import Failed

INSTALLATION, WORKER = "warmcell.installation", "warmcell.worker"
"""Labels of everything that an engine of ours makes."""

CALL_S = 60.0
"""The engine answers within this, also where its disk is busy."""

_LOCAL = "unix:///var/run/docker.sock"
_PLAIN = ("name", "image", "command", "user", "environment", "labels", "working_dir", "hostname", "stop_signal")


@dataclass(frozen=True)
class Found:
    """A container as the engine knows it.

    Args:
        id: The engine's.
        worker_id: From its label.
        state: "created", "running", "paused", "exited", "dead" or "removing".
        code: Exit status; None before it ended.
        out_of_memory: Whether the system killed a process of it for its memory limit.
        image: The image's id.
    """

    id: str
    worker_id: str
    state: str
    code: int | None = None
    out_of_memory: bool = False
    image: str = ""


class Door:
    """One installation's way to a Docker engine.

    Args:
        url: Of the engine; "" is DOCKER_HOST's, or the local one.
        installation: Only what bears this label is listed and told.
    """

    def __init__(self, url: str, installation: str) -> None:
        self._url, self._installation = url, installation
        self._lock = threading.Lock()
        self._client: docker.APIClient | None = None
        self._stream: types.daemon.CancellableStream | None = None

    @property
    def _api(self) -> docker.APIClient:
        with self._lock:
            if self._client is None:
                environment = {"base_url": self._url} if self._url else docker.utils.kwargs_from_env()
                _knock(environment.get("base_url", _LOCAL))
                self._client = docker.APIClient(version="auto", timeout=CALL_S, **environment)
            return self._client

    def close(self) -> None:
        """Let go of the connections; a later call makes new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    @contextmanager
    def _named(self, what: str) -> Iterator[docker.APIClient]:
        """Turn whatever the engine or the way to it raises into one failure."""
        try:
            yield self._api
        except errors.APIError as error:
            raise Failed(
                "unavailable", f"the Docker engine could not {what}: {error.explanation or error}",
                "see `docker info` and the engine's log",
            ) from error  # fmt: skip
        except (errors.DockerException, OSError) as error:
            raise Failed(
                "unavailable", f"no Docker engine answers, so it could not {what}: {_short(error)}",
                "start dockerd, and let this user into group docker or give DOCKER_HOST",
            ) from error  # fmt: skip

    def about(self) -> Mapping[str, Any]:
        """Return what the engine tells of itself."""
        with self._named("tell its version") as api:
            return api.info()

    # ---- containers ---------------------------------------------------------------------------------------

    def create(self, arguments: Mapping[str, Any]) -> str:
        """Make a container, replacing a dead one of its name, and return its id.

        Args:
            arguments: From `hardening.container`.

        Raises:
            Failed: The engine is away or refuses.
        """
        plain = {name: value for name, value in arguments.items() if name in _PLAIN}
        rest = {name: value for name, value in arguments.items() if name not in _PLAIN}
        rest["mounts"] = [types.Mount(**mount) for mount in rest["mounts"]]
        rest["ulimits"] = [types.Ulimit(**limit) for limit in rest.get("ulimits", ())]
        rest["device_requests"] = [types.DeviceRequest(**asked) for asked in rest.get("device_requests", ())]
        with self._named(f"create {arguments['name']}") as api:
            try:
                return api.create_container(host_config=api.create_host_config(**rest), **plain)["Id"]
            except errors.APIError as error:
                if error.status_code != 409:
                    raise
            self.remove(arguments["name"])
            return api.create_container(host_config=api.create_host_config(**rest), **plain)["Id"]

    def start(self, container: str) -> None:
        """Start a container."""
        with self._named("start a container") as api:
            api.start(container)

    def inspect(self, container: str) -> Found | None:
        """Return a container as it is now, None where it is gone."""
        with self._named("inspect a container") as api, suppress(errors.NotFound):
            facts = api.inspect_container(container)
            state = facts["State"]
            ended = state["Status"] in ("exited", "dead")
            return Found(
                facts["Id"], facts["Config"]["Labels"].get(WORKER, ""), state["Status"],
                state["ExitCode"] if ended else None, bool(state.get("OOMKilled")), facts["Image"],
            )  # fmt: skip
        return None

    def list(self) -> Sequence[Found]:
        """Return every container of this installation, whatever its state."""
        with self._named("list containers") as api:
            rows = api.containers(all=True, filters={"label": [f"{INSTALLATION}={self._installation}"]})
        return [Found(row["Id"], row["Labels"].get(WORKER, ""), row["State"], image=row["ImageID"]) for row in rows]

    def signal(self, container: str, name: str) -> None:
        """Send a signal to a container's first process; one that has ended gets none."""
        with self._named(f"send {name}") as api, _gone_is_fine():
            api.kill(container, name)

    def kill(self, container: str) -> None:
        """Kill a container, a paused one too."""
        self.signal(container, "SIGKILL")
        with self._named("resume a container") as api, _gone_is_fine():
            if api.inspect_container(container)["State"]["Paused"]:
                api.unpause(container)
                api.kill(container, "SIGKILL")

    def pause(self, container: str) -> None:
        """Freeze every process of a container."""
        with self._named("pause a container") as api:
            api.pause(container)

    def resume(self, container: str) -> None:
        """Let a paused container go on."""
        with self._named("resume a container") as api:
            api.unpause(container)

    def remove(self, container: str) -> None:
        """Remove a container with its volumes, killing what runs in it; one that is gone is removed."""
        with self._named("remove a container") as api, _gone_is_fine():
            api.remove_container(container, v=True, force=True)

    def logs(self, container: str, lines: int) -> str:
        """Return the last lines that a container's first process wrote, "" where it is gone."""
        with self._named("read a log") as api, suppress(errors.NotFound):
            return api.logs(container, tail=lines).decode(errors="replace").strip()
        return ""

    def events(self, begun: Callable[[], object]) -> Iterator[tuple[str, str]]:
        """Yield (action, worker id) for this installation's containers until the engine or `hush` ends it.

        Args:
            begun: Called when the engine has begun to tell.
        """
        filters = {"type": "container", "label": [f"{INSTALLATION}={self._installation}"]}
        with self._named("tell its events") as api:
            stream = self._stream = api.events(decode=True, filters=filters)
            begun()
            try:
                for event in stream:
                    yield event["Action"], event["Actor"]["Attributes"].get(WORKER, "")
            finally:
                stream.close()

    def hush(self) -> None:
        """End `events`, from another thread."""
        with suppress(OSError, AttributeError, errors.DockerException):
            if self._stream is not None:
                self._stream.close()

    # ---- networks and images ------------------------------------------------------------------------------

    def network(self, name: str, bridge: str, options: Mapping[str, str]) -> str:
        """Return the gateway address of a bridge network, made where there is none.

        Args:
            name: Of the network.
            bridge: Of its interface on the host.
            options: Of the bridge driver.
        """
        with self._named(f"make the network {name}") as api:
            found = api.networks(names=[name])
            exact = [network for network in found if network["Name"] == name]
            if not exact:
                options = {**options, "com.docker.network.bridge.name": bridge}
                labels = {INSTALLATION: self._installation}
                made = api.create_network(name, driver="bridge", options=options, labels=labels, check_duplicate=True)
                exact = [api.inspect_network(made["Id"])]
            return exact[0]["IPAM"]["Config"][0].get("Gateway", "")

    def remove_network(self, name: str) -> None:
        """Remove a network; one that is gone is removed."""
        with self._named(f"remove the network {name}") as api, _gone_is_fine():
            api.remove_network(name)

    def image(self, name: str) -> str:
        """Return an image's id, "" where the engine has none of that name."""
        with self._named("look for an image") as api, suppress(errors.NotFound):
            return api.inspect_image(name)["Id"]
        return ""

    def pull(self, name: str) -> None:
        """Fetch an image from its registry."""
        with self._named(f"pull {name}") as api:
            for line in api.pull(name, stream=True, decode=True):
                if "error" in line:
                    raise Failed("unavailable", f"the image {name} cannot be pulled: {line['error']}",
                                 "check its name, or bring it by `docker load`")  # fmt: skip

    def build(self, context: Path, tag: str, arguments: Mapping[str, str]) -> Iterator[str]:
        """Build an image and yield the lines of its log.

        Args:
            context: Directory with a Dockerfile.
            tag: Its name.
            arguments: Values of the Dockerfile's ARGs.

        Raises:
            Failed: A step failed; the message names it, its detail has the last lines.
        """
        tail: list[str] = []
        with self._named(f"build {tag}") as api:
            asked = {"tag": tag, "buildargs": dict(arguments), "network_mode": "none", "rm": True, "forcerm": True}
            for line in api.build(path=str(context), decode=True, **asked):
                if "error" in line:
                    step = next((text for text in reversed(tail) if text.startswith("Step ")), "its first step")
                    raise Failed("unavailable", f"the image {tag} was not built: {step} failed: {line['error']}",
                                 "see the last lines of the build", {"log": "\n".join(tail[-20:])})  # fmt: skip
                for text in filter(None, line.get("stream", "").splitlines()):
                    tail.append(text)
                    yield text


def _knock(url: str) -> None:
    """See that somebody listens on a local socket; where nobody does, the library leaves an open socket behind.

    Raises:
        OSError: Nobody does.
    """
    kind, _, path = url.partition("://")
    if kind in ("unix", "http+unix"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path if path.startswith("/") else f"/{path}")


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    """Pass over what the engine says of a container that is gone, has ended, or is just being removed."""
    try:
        yield
    except errors.APIError as error:
        if error.status_code not in (404, 409):
            raise


def _short(error: Exception) -> str:
    """Return the innermost of an error's causes in one line: the library wraps it in three layers of its own."""
    text = str(error)
    cause = error.__context__
    while cause is not None:
        text, cause = str(cause), cause.__context__
    with suppress(ValueError):
        text = str(json.loads(text)["message"])
    return text.splitlines()[0] if text else type(error).__name__
