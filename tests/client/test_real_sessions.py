"""The client joined to the real gateway and real workers, which are killed under it."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kernel_proxy import embedded, statedir
from kernel_proxy.errors import NotFound, SessionLost, TargetUnavailable, Unauthorized, WorkerDied
from kernel_proxy.runtime import Runtime, WorkerLine, connect
from kernel_proxy.session import Session
from kernel_proxy.settings import Settings
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions
from tests.client.roads import texts
from tests.client.sweep import sweep

RETURNS = pb.Returns(name_limit_bytes=2**20, total_limit_bytes=2**20)


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    """An embedded runtime for this module; tests may kill its gateway."""
    with tempfile.TemporaryDirectory(prefix="wc-", dir="/tmp") as directory, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", directory)
        yield Settings(home=Path(directory) / "state", imports="json", simulate="A100:1", answer_s=5)
        sweep(directory)


@pytest.fixture
def runtime(settings: Settings) -> Iterator[Runtime]:
    reached = connect(settings)
    yield reached
    for info in reached.describe().sessions:
        reached.release(info.name, force=True)
    reached.close()


@pytest.fixture(params=["unix", "relay"])
def session(request: pytest.FixtureRequest, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session reached by its worker's socket, or as from another machine: through the gateway."""
    if request.param == "relay":
        monkeypatch.setattr(versions, "host_id", lambda: "another machine")
    return runtime.open("cpu", "nb", "nb.ipynb", {})


def run(session: Session, source: str, **more: Any) -> list[pb.Event]:
    return list(session.run(pb.Run(source=source, count=1, returns=RETURNS, **more)))


def text(session: Session, source: str) -> str:
    return "".join(texts(run(session, source)))


def keeper_of(session: Session, home: Path) -> int:
    sql = "SELECT facts FROM workers JOIN sessions USING (worker_id) WHERE session_id = ?"
    with closing(sqlite3.connect(f"file:{home}/store.db?mode=ro", uri=True)) as store:
        return json.loads(store.execute(sql, (session.session_id,)).fetchone()[0])["pid"]


def test_a_namespace_lives_between_runs_and_clients(runtime: Runtime, session: Session) -> None:
    assert session.fresh
    run(session, "x = 20")
    assert session.alive == {"x"}
    again = runtime.open("cpu", "nb", "other.ipynb", {}, must_exist=True)
    assert not again.fresh and again.alive == {"x"}
    assert text(again, "print(x + 22)") == "42\n"
    assert again.fetch("x") == 20
    again.close()
    assert text(session, "print(x)") == "20\n"


def test_what_does_not_exist_is_said(runtime: Runtime, session: Session) -> None:
    with pytest.raises(NotFound):
        session.fetch("nothing_of_that_name")
    with pytest.raises(NotFound):
        runtime.open("cpu", "never-opened", "", {}, must_exist=True)
    with pytest.raises(TargetUnavailable, match="H100"):
        runtime.open("H100", "other", "", {})
    assert text(session, "print(1)") == "1\n"


def test_a_device_that_is_declared_is_marked(runtime: Runtime) -> None:
    opened = runtime.open("A100", "gpu", "", {})
    assert [(d.model, d.simulated) for d in opened.devices] == [("A100", True)]


def test_requests_of_every_kind(runtime: Runtime, session: Session) -> None:
    run(session, "x = 1; y = 2")
    assert {held.name for held in session.vars()} == {"x", "y"}
    assert list(session.remove(["y"]).names) == ["y"]
    assert session.environment().executable
    assert [info.state for info in session.runs()] == ["ok"]
    session.free()
    session.drop(["no-such-token"])
    assert text(session, "print(x)") == "1\n"


def test_a_user_process_that_dies_ends_its_run_once(session: Session) -> None:
    before = session.incarnation
    events = run(session, "x = 1\nprint('before', flush=True)\nimport os; os._exit(3)")
    assert "".join(texts(events)) == "before\n"
    assert [e.end.status for e in events if e.HasField("end")] == ["died"]
    assert text(session, "print('after')") == "after\n"
    assert session.incarnation == before + 1 and "x" not in session.alive


def test_a_killed_keeper_ends_the_run_with_the_reason(runtime: Runtime, session: Session, settings: Settings) -> None:
    stream = session.run(pb.Run(source="print('up', flush=True)\nimport time; time.sleep(60)", returns=RETURNS))
    events = [next(stream), next(stream)]
    os.kill(keeper_of(session, settings.home), signal.SIGKILL)
    events += stream
    assert texts(events) == ["up\n"]
    ends = [e.end for e in events if e.HasField("end")]
    assert [(end.status, end.problem.code) for end in ends] == [("died", "worker-died")]
    assert "SIGKILL" in ends[0].problem.message
    with pytest.raises(WorkerDied):
        run(session, "1")
    assert text(runtime.open("cpu", "nb", "nb.ipynb", {}), "print('new')") == "new\n"


def test_a_released_session_says_so(runtime: Runtime, session: Session) -> None:
    stream = session.run(pb.Run(source="import time; time.sleep(60)", returns=RETURNS))
    next(stream)
    runtime.release("nb", force=True)
    assert [e.end.status for e in stream if e.HasField("end")] == ["cancelled"]
    with pytest.raises(SessionLost):
        session.vars()


def test_a_killed_gateway_does_not_disturb_a_run(runtime: Runtime, session: Session, settings: Settings) -> None:
    stream = session.run(pb.Run(source="print('a', flush=True)\nwhile 'go' not in globals(): pass"))
    seen = [next(stream), next(stream)]
    gateway = statedir.find(settings.home)
    os.kill(gateway.pid, signal.SIGKILL)
    assert statedir.wait_gone(gateway, 10)
    session.interrupt(stream.run_id)
    seen += stream
    assert texts(seen) == ["a\n"] and seen[-1].end.status == "interrupted"
    assert text(session, "print('b')") == "b\n"
    assert [info.name for info in runtime.describe().sessions] == ["nb"]  # by a new gateway, which adopted it


def test_a_worker_of_this_host_is_reached_by_its_lane_unless_grpc_is_asked_for(
    runtime: Runtime, settings: Settings
) -> None:
    session = runtime.open("cpu", "nb", "nb.ipynb", {})
    assert session._attachment.sharing
    other = connect(dataclasses.replace(settings, transport="grpc"))
    by_grpc = other.open("cpu", "nb", "nb.ipynb", {}, must_exist=True)
    assert not by_grpc._attachment.sharing
    assert text(by_grpc, "x = 7; print(x)") == text(session, "print(x)") == "7\n"
    other.close()


def test_the_relay_carries_the_same_stream(runtime: Runtime) -> None:
    session = relayed(runtime)
    stream = session.run(pb.Run(source="for i in range(3): print(i, flush=True)", returns=RETURNS))
    assert "".join(texts(stream)) == "0\n1\n2\n"
    session.close()


def test_a_relayed_run_survives_the_gateway(runtime: Runtime, settings: Settings) -> None:
    session = relayed(runtime)
    source = "import time\nfor i in range(40): print(i, flush=True); time.sleep(0.02)"
    stream = session.run(pb.Run(source=source, returns=RETURNS))
    seen = [next(stream), next(stream)]
    os.kill(statedir.find(settings.home).pid, signal.SIGKILL)
    seen += stream  # the stream needs a gateway, so it starts one
    assert "".join(texts(seen)) == "".join(f"{i}\n" for i in range(40))
    assert [e.end.status for e in seen if e.HasField("end")] == ["ok"]
    session.close()


def relayed(runtime: Runtime) -> Session:
    """Open a session as if its worker's socket could not be reached from here."""
    runtime.open("cpu", "nb", "", {}).close()
    request = pb.OpenRequest(versions=versions.here(), session="nb", target="cpu", must_exist=True)
    granted = next(u.granted for u in runtime._gateway().updates("Open", request) if u.HasField("granted"))
    granted.unix = ""
    session = Session("nb", "cpu", granted, WorkerLine(runtime, granted), {})
    session.attach()
    return session


def test_an_url_finds_the_same_runtime(runtime: Runtime, settings: Settings) -> None:
    gateway = statedir.find(settings.home)
    remote = connect(Settings(url=gateway.http, token=gateway.token))
    assert remote.describe().pid == gateway.pid
    remote.close()
    with pytest.raises(Unauthorized):
        connect(Settings(url=gateway.http, token="wrong"))


def test_kernels_that_start_at_once_share_one_gateway(settings: Settings) -> None:
    home = settings.home.parent / "race"
    results: list[Any] = []
    racers = [
        threading.Thread(target=lambda: results.append(embedded.start(embedded.Launch(home, imports="json"))))
        for _ in range(3)
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert sorted(started for _, started in results) == [False, False, True]
    assert len({gateway.pid for gateway, _ in results}) == 1


FORKING = """
import multiprocessing, os, sys
sys.path.insert(0, {root!r})
from kernel_proxy.errors import RuntimeUnavailable
from kernel_proxy.runtime import connect
from kernel_proxy.settings import load_settings
from remote_runtime.wire import messages_pb2 as pb

def use(number):
    session.drop(["token"]); session.close()
    for call in (session.vars, runtime.describe):
        try:
            call()
        except RuntimeUnavailable as error:
            assert "forked" in str(error), error
        else:
            raise AssertionError("the child used its parent's stream")
    runtime.close()
    return number * 2

runtime = connect(load_settings())
session = runtime.open("cpu", "fork", "nb", {{}})
stream = session.run(pb.Run(source="import time\\nfor i in range(30): print(i, flush=True); time.sleep(0.01)"))
with multiprocessing.get_context("fork").Pool(3) as pool:
    assert pool.map(use, range(20)) == [n * 2 for n in range(20)]
child = os.fork()
if not child:
    del session, runtime, stream  # collected here, and closed by nobody
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
{torch}
text = "".join(e.stream.text for e in stream)
assert text == "".join(f"{{i}}\\n" for i in range(30)), text
print("done", flush=True)
"""
LOADER = """
import torch
loader = torch.utils.data.DataLoader(torch.arange(8), batch_size=2, num_workers=2)
assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5], [6, 7]]
"""


@pytest.mark.parametrize("torch", ["", LOADER], ids=["pool", "DataLoader"])
def test_local_forks_work_while_a_stream_is_open(torch: str, runtime: Runtime, settings: Settings) -> None:
    if torch:
        pytest.importorskip("torch")
    script = FORKING.format(root=str(Path(__file__).parents[2]), torch=torch)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", script],
        capture_output=True, text=True, timeout=60, env={**os.environ, "WARMCELL_HOME": str(settings.home)},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
