"""The output of a run again, and the gateway's own log.

run id -> its session -> follow from the first event -> the bytes it printed
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from kernel_proxy import statedir
from kernel_proxy.errors import NotFound, SettingsError
from kernel_proxy.runtime import Runtime
from kernel_proxy.settings import Settings
from remote_runtime.wire import messages_pb2 as pb
from warmcell.facts import ACTIVE

_TAIL_LINES = 200
_FOLLOW_POLL_S = 0.2


def find_run(info: pb.RuntimeInfo, run_id: str) -> tuple[pb.SessionInfo, pb.RunInfo]:
    """Find a run by its id, or by the beginning of it.

    Raises:
        NotFound: No run, or more than one.
    """
    found = [(s, r) for s in info.sessions for r in s.runs if r.run_id.startswith(run_id)]
    exact = [(s, r) for s, r in found if r.run_id == run_id]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if not found:
        raise NotFound(f"there is no run {run_id}", "see `warmcell ps`; runs go with their session")
    names = ", ".join(r.run_id for _, r in found)
    raise NotFound(f"{len(found)} runs begin with {run_id}: {names}", "give more of the id")


def run_events(runtime: Runtime, run_id: str, follow: bool) -> Iterator[pb.Event]:
    """Yield the events of a run; unless it is followed, those that exist now.

    Raises:
        NotFound: There is no such run.
        WarmcellError: Its session cannot be reached.
    """
    info, run = find_run(runtime.describe(), run_id)
    session = runtime.open(info.target, info.session_id, "", {}, must_exist=True)
    try:
        partly = run.state in ACTIVE and not follow
        if partly and not run.event_count:
            return
        for event in session.follow(run.run_id):
            yield event
            if partly and event.seq >= run.event_count:
                return
    finally:
        session.close()
        runtime.close()


def lines(event: pb.Event) -> Iterator[tuple[str, bool]]:
    """Yield what an event printed, each with whether it belongs to stderr."""
    body = event.WhichOneof("body")
    if body == "stream":
        yield event.stream.text, event.stream.stderr
    elif body == "cut":
        yield f"[{event.cut.dropped_bytes} bytes in {event.cut.dropped_lines} lines were cut]\n", True
    elif body == "end" and event.end.HasField("problem"):
        problem = event.end.problem
        text = "\n".join(problem.traceback) or f"{problem.type_name}: {problem.message}"
        yield f"{text}\n", True
        if problem.hint:
            yield f"hint: {problem.hint}\n", True


def _writes_to(pid: int, file: Path) -> bool:
    """Tell whether a process has a file for its stderr; of another user's it cannot be known, and counts as so."""
    try:
        return os.path.samefile(f"/proc/{pid}/fd/2", file)
    except PermissionError:
        return True
    except OSError:
        return False


def gateway_log(settings: Settings, follow: bool) -> Iterator[str]:
    """Yield the last lines of the gateway's log, then what is added.

    Raises:
        SettingsError: The runtime is not on this machine.
        NotFound: There is no log, or it is where a service manager keeps it.
    """
    if not settings.embedded:
        raise SettingsError(
            f"the gateway's log is on the machine of {settings.url}", "name a run, or unset WARMCELL_URL"
        )
    file = settings.home / "gateway.log"
    gateway = statedir.find(settings.home)
    if gateway is not None and not _writes_to(gateway.pid, file):
        raise NotFound(
            f"the runtime on {settings.home} runs in the foreground, its log is kept by who started it",
            "`journalctl --unit warmcell` where systemd did, `docker compose logs` where compose did",
        )
    if not file.exists():
        raise NotFound(f"no runtime has run on {settings.home}", "start it with `warmcell up`")
    with open(file, encoding="utf-8", errors="replace") as log:
        yield from (line.rstrip("\n") for line in deque(log, maxlen=_TAIL_LINES))
        while follow:
            line = log.readline()
            if line:
                yield line.rstrip("\n")
            else:
                time.sleep(_FOLLOW_POLL_S)
