"""Starting, claiming, idling: the runtime's own life under the clock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.timing import once_s, spread

Say = Callable[[str], None]
WORKER_IMPORTS = "import numpy, pandas, torch"


def down() -> None:
    """Stop the runtime of the current home, if one runs."""
    subprocess.run([sys.executable, "-m", "warmcell", "down", "--force"], capture_output=True, check=False)


def by_address() -> str:
    """Start the runtime; return code that lets a kernel reach it by its address, as if it ran on another machine."""
    command = [sys.executable, "-m", "warmcell", "up", "--json"]
    up = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return (
        "import os\nfrom remote_runtime.wire import versions\n"
        f"os.environ.update(WARMCELL_URL={up['http']!r}, WARMCELL_TOKEN={up['token']!r})\n"
        "versions.host_id = lambda: 'another machine'\n"
    )


def _status() -> dict:
    command = [sys.executable, "-m", "warmcell", "status", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _first_result_s(session_name: str) -> tuple[float, float]:
    """Open a new session and run one cell in it: seconds to the first event and to the end."""
    import warmcell
    from remote_runtime.wire import messages_pb2 as pb

    runtime = warmcell.connect()
    start = time.perf_counter()
    session = runtime.open("cpu", session_name, "benchmark", {})
    stream = session.run(pb.Run(run_id=f"{session_name}-{time.time_ns()}", source="#\n1 + 1", count=1), None)
    next(stream)
    first_s = time.perf_counter() - start
    for _ in stream:
        pass
    end_s = time.perf_counter() - start
    session.close()
    runtime.release(session_name, force=True)
    runtime.close()
    return first_s, end_s


def claim(scale: float, say: Say) -> dict:
    """A new session on a warm pool with torch imported: claim to first event."""
    say("claim")
    _first_result_s("warm-up")
    firsts = []
    for index in range(max(5, int(30 * scale))):
        _until_warm()
        firsts.append(_first_result_s(f"s{index}")[0])
    return {"claim to first event": spread(firsts).row()}


def _until_warm() -> None:
    # The pool refills in the background; a claim is only warm once it has. The wait is outside the clock.
    time.sleep(0.5)


def cold(scale: float, say: Say) -> dict:
    """Nothing running to the first result, beside the worker's own imports in a bare interpreter."""
    say("cold")
    count = max(3, int(7 * scale))
    bare = [once_s(lambda: _python(WORKER_IMPORTS)) for _ in range(count)]
    times = []
    for index in range(count):
        down()
        code = f"from benchmarks.lifecycle import _first_result_s; _first_result_s('c{index}')"
        times.append(once_s(lambda code=code: _python(code)))
    beyond_ms = round(spread(times).p50_ms - spread(bare).p50_ms, 1)
    rows = {"imports alone": spread(bare).row(), "first result": spread(times).row()}
    return {**rows, "beyond_imports_p50_ms": beyond_ms}


def importing(scale: float, say: Say) -> dict:
    """`import warmcell` in a fresh interpreter, less the interpreter."""
    say("import")
    count = max(5, int(21 * scale))
    bare = spread([once_s(lambda: _python("pass")) for _ in range(count)])
    ours = spread([once_s(lambda: _python("import warmcell")) for _ in range(count)])
    added_ms = round(ours.p50_ms - bare.p50_ms, 1)
    return {"import warmcell": ours.row(), "bare interpreter": bare.row(), "added_p50_ms": added_ms}


def idle(scale: float, say: Say) -> dict:
    """Memory of the gateway with one warm worker and nobody connected."""
    say("idle")
    _first_result_s("one")
    time.sleep(2)
    pid = _status()["pid"]
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return {"gateway_rss_mb": round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)}


def _python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
