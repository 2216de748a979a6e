"""A runtime that is reached: versions compared, sessions opened, waits that can be left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kernel_proxy import statedir
from kernel_proxy.errors import NotFound, RuntimeDefect, RuntimeUnavailable, VersionMismatch
from kernel_proxy.runtime import Runtime, connect
from kernel_proxy.settings import Settings
from remote_runtime.wire import limits, versions
from remote_runtime.wire import messages_pb2 as pb
from tests.client.roads import texts
from tests.client.standin import GatewayStandIn, Worker, serve_gateway, serve_worker


@contextmanager
def reached(gateway: GatewayStandIn, directory: Path) -> Iterator[Runtime]:
    """A runtime whose gateway is a stand-in in this process, found by its state directory."""
    announce(directory)
    with serve_gateway(gateway, directory / "g.sock"):
        runtime = connect(Settings(home=directory), start=False)
        try:
            yield runtime
        finally:
            runtime.close()


def announce(directory: Path, ticks: int | None = None) -> None:
    ticks = statedir.start_ticks(os.getpid()) if ticks is None else ticks
    where = {"grpc": "127.0.0.1:1", "http": "http://127.0.0.1:1", "unix": str(directory / "g.sock")}
    (directory / "gateway.json").write_text(json.dumps({**where, "pid": os.getpid(), "start_ticks": ticks}))
    (directory / "token").write_text("t0k\n")


def granted(directory: Path, unix: bool = True) -> pb.OpenUpdate:
    socket = str(directory / "w.sock") if unix else ""
    return pb.OpenUpdate(
        granted=pb.Granted(session_id="s1", unix=socket, token="secret", incarnation=1, versions=versions.here())
    )


def theirs(**packages: str) -> pb.Versions:
    found = pb.Versions()
    found.CopyFrom(versions.here())
    found.packages.update(packages)
    return found


def test_a_session_is_opened_directly(short: Path) -> None:
    worker = Worker()
    worker.hold.set()
    waiting = pb.OpenUpdate(waiting=pb.Waiting(place=1, reason="starting a worker"))
    gateway = GatewayStandIn(Worker(), updates=[waiting, granted(short)])
    seen: list[pb.Waiting] = []
    with serve_worker(worker, short / "w.sock"), reached(gateway, short) as runtime:
        session = runtime.open("cpu", "nb", "nb.ipynb", {}, on_wait=seen.append)
        assert texts(session.run(pb.Run(source="a\nb"))) == ["a", "b"]
    assert [w.reason for w in seen] == ["starting a worker"]
    assert worker.streams == 1


def test_a_worker_without_a_socket_here_is_relayed(short: Path) -> None:
    worker = Worker()
    worker.hold.set()
    gateway = GatewayStandIn(worker, updates=[granted(short, unix=False)])
    with reached(gateway, short) as runtime:
        session = runtime.open("cpu", "nb", "nb.ipynb", {})
        assert texts(session.run(pb.Run(source="a"))) == ["a"]
    assert gateway.shown["warmcell-session"] == "s1" and gateway.shown["warmcell-session-token"] == "secret"
    assert gateway.shown["authorization"] == "Bearer t0k"


def test_interrupting_the_wait_leaves_the_queue(short: Path) -> None:
    gateway = GatewayStandIn(Worker(), updates=[pb.OpenUpdate(waiting=pb.Waiting(place=2, holder="nb"))])
    with reached(gateway, short) as runtime:
        interrupt = lambda _: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # noqa: E731
        with pytest.raises(KeyboardInterrupt):
            runtime.open("cpu", "nb", "nb.ipynb", {}, on_wait=interrupt)
        assert gateway.cancelled.wait(10)


def test_an_answer_without_a_grant_is_a_defect(short: Path) -> None:
    with reached(GatewayStandIn(Worker()), short) as runtime, pytest.raises(RuntimeDefect, match="without granting"):
        runtime.open("cpu", "nb", "nb.ipynb", {})


def test_a_refusal_carries_its_own_words(short: Path) -> None:
    with reached(GatewayStandIn(Worker()), short) as runtime, pytest.raises(NotFound, match="there is no session nb"):
        runtime.release("nb")


def test_versions_that_cannot_work_are_a_table(short: Path) -> None:
    gateway = GatewayStandIn(Worker(), versions=pb.Versions(protocol=limits.PROTOCOL + 1, python="3.11.1"))
    with pytest.raises(VersionMismatch, match=rf"protocol +{limits.PROTOCOL} +{limits.PROTOCOL + 1}"), reached(gateway, short):
        pass


def test_another_python_of_the_gateway_is_noted_and_no_more(short: Path) -> None:
    gateway = GatewayStandIn(Worker(), versions=pb.Versions(protocol=limits.PROTOCOL, python="2.7.18"))
    with reached(gateway, short) as runtime:
        assert runtime.version_notice is not None and "2.7.18" in runtime.version_notice


def test_versions_that_may_matter_are_noted(short: Path) -> None:
    with reached(GatewayStandIn(Worker(), versions=theirs(cloudpickle="3.999.0")), short) as runtime:
        assert runtime.version_notice is not None and "3.999.0" in runtime.version_notice
    with reached(GatewayStandIn(Worker()), short) as runtime:
        assert runtime.version_notice is None


def test_a_gateway_that_moved_is_found_again(short: Path) -> None:
    announce(short)
    with serve_gateway(GatewayStandIn(Worker()), short / "g.sock") as first:
        runtime = connect(Settings(home=short), start=False)
        with serve_gateway(GatewayStandIn(Worker(), engine="second"), short / "moved.sock"):
            record = json.loads((short / "gateway.json").read_text())
            (short / "gateway.json").write_text(json.dumps({**record, "unix": str(short / "moved.sock")}))
            assert runtime.describe().engine == "stand-in"
            first.stop()
            assert runtime.describe().engine == "second"
            runtime.close()


def test_a_stale_record_is_no_runtime(short: Path) -> None:
    announce(short, ticks=1)
    assert statedir.find(short) is None
    with pytest.raises(RuntimeUnavailable, match="no runtime runs on .*\nhint: start it with `warmcell up`"):
        connect(Settings(home=short), start=False)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": 1}'])
def test_a_damaged_record_is_no_runtime(text: str, short: Path) -> None:
    announce(short)
    (short / "gateway.json").write_text(text)
    assert statedir.find(short) is None


def test_a_socket_directory_of_somebody_else_is_refused(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    directory = statedir.runtime_dir(short / "state")
    assert directory.parent == short and directory.stat().st_mode & 0o777 == 0o700
    directory.chmod(0o770)
    with pytest.raises(RuntimeUnavailable, match="is not yours alone"):
        statedir.runtime_dir(short / "state")
    directory.rmdir()
    directory.symlink_to(short)
    with pytest.raises(RuntimeUnavailable, match="is not yours alone"):
        statedir.runtime_dir(short / "state")


def test_a_long_runtime_path_is_not_used(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = short / ("x" * 60)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    directory = statedir.runtime_dir(short / "state")
    assert directory.parent == Path("/tmp") and str(os.getuid()) in directory.name
    directory.rmdir()


def test_a_gateway_that_is_just_dying_is_not_waited_on(short: Path) -> None:
    process = subprocess.Popen(["sleep", "60"])
    announce(short)
    record = json.loads((short / "gateway.json").read_text())
    mark = {"pid": process.pid, "start_ticks": statedir.start_ticks(process.pid)}
    (short / "gateway.json").write_text(json.dumps({**record, **mark}))
    threading.Timer(0.1, process.kill).start()
    with pytest.raises(RuntimeUnavailable, match="no runtime runs on"):  # and not: cannot be reached
        connect(Settings(home=short), start=False)
    process.wait()
