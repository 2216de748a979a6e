"""What a gateway and the Docker engine make of each other on a bad day: away, changed behind its back, shared, crashed."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from remote_runtime.wire import messages_pb2 as pb
from tests.client.sweep import sweep
from tests.containers import engine
from tests.containers.away import ENGINE, Way
from tests.gateway.running import Refused, Running, start

COLD = ("--min-warm", "0", "--buffer-warm", "0", "--simulate", "A100:1")

Start = Callable[..., Running]


@pytest.fixture
def home() -> Iterator[Path]:
    """A gateway's home; when it has ended, the engine holds nothing more of it."""
    if engine.absent():
        pytest.skip(engine.absent())
    with tempfile.TemporaryDirectory(prefix="wc-", dir="/tmp") as directory:
        yield Path(directory)
        sweep(directory)
        assert engine.left_by(Path(directory)) == []


@pytest.fixture
def gateway(home: Path) -> Iterator[Start]:
    """Start gateways whose workers are containers; the last one stops everything in the end."""
    started: list[Running] = []

    def run(at: Path = home, options: str = "memory=256m") -> Running:
        started.append(start(at, "--engine", "docker", "--engine-options", options, *COLD))
        return started[-1]

    yield run
    for one in started:
        if one.process.poll() is None:
            with suppress(Refused):
                assert one.stop() == 0
        for channel in one.channels:
            channel.close()


@pytest.fixture
def way(home: Path) -> Iterator[Way]:
    if not Path(ENGINE).exists():
        pytest.skip(f"the Docker engine does not listen at {ENGINE}")
    made = Way(home / "d.sock")
    made.mend()
    yield made
    made.cut()


def until(true: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def printed(running: Running, session: str, source: str) -> str:
    """Run a line in a session and return what it prints."""
    return running.attach(running.open("A100" if session == "a100" else "cpu", session)).run("r-" + session, source)[0]


def names(running: Running) -> set[str]:
    return {session.name for session in running.call("Describe", pb.DescribeRequest()).sessions}


def test_an_engine_that_goes_while_somebody_waits_is_told_and_comes_back(way: Way, gateway: Start) -> None:
    running = gateway(options=f"memory=256m,url=unix://{way.path}")
    held = running.attach(running.open("A100", "holder"))
    waiting = running.updates("A100", "waiter")
    assert next(update for update in waiting if update.waiting.place)
    way.cut()
    assert held.run("r", "print('runs without it')")[0] == "runs without it\n"
    running.call("Release", pb.ReleaseRequest(session="holder"))
    with pytest.raises(grpc.RpcError) as refused:
        list(waiting)
    assert "no Docker engine answers" in refused.value.details()
    assert names(running) == set()
    way.mend()
    assert printed(running, "a100", "print('again')") == "again\n"
    until(lambda: len(engine.containers(running.home)) == 1)


def test_an_image_that_is_deleted_under_a_gateway(gateway: Start) -> None:
    tag = "127.0.0.1:9/warmcell-trial:deleted"  # of a registry that is not there, so that nobody else is asked
    worker = engine.docker("images", "--format", "{{.ID}} {{.Size}}", "warmcell-worker").splitlines()
    if not worker:
        pytest.skip("no worker's image is built yet")
    engine.docker("tag", worker[-1].split()[0], tag)
    try:
        running = gateway(options=f"memory=256m,image={tag}")
        assert printed(running, "one", "print('before')") == "before\n"
        engine.docker("rmi", "--no-prune", tag)
        with pytest.raises(Refused, match=tag):
            running.open("cpu", "two")
        with pytest.raises(Refused, match=f"pull.*{tag}"):  # by now it is looked for again, and not only missed
            running.open("cpu", "two")
        engine.docker("tag", worker[-1].split()[0], tag)
        assert printed(running, "two", "print('after')") == "after\n"
        assert names(running) == {"one", "two"}
        running.stop()
    finally:
        engine.docker("rmi", "--no-prune", "-f", tag)


def test_a_crash_leaves_what_is_adopted_or_removed_and_never_both(gateway: Start, home: Path) -> None:
    first = gateway()
    kept, lost = first.open("cpu", "kept"), first.open("cpu", "lost")
    assert first.attach(kept).run("r", "x = 20; print(x)")[0] == "20\n"
    before = set(engine.containers(home))
    first.end(signal.SIGKILL)
    label = ("--label", f"warmcell.installation={engine.installation(home)}", "--label", "warmcell.worker=nobody")
    stray = engine.docker("create", *label, "warmcell-base:py3.11", "true")
    gone = next(name for name in before if name.endswith(Path(room_of(home, lost)).name))
    engine.docker("rm", "-f", gone)
    second = gateway()
    assert names(second) == {"kept"}
    until(lambda: set(engine.containers(home)) == before - {gone})
    assert stray not in engine.docker("ps", "-aq", "--no-trunc")
    assert second.attach(second.open("cpu", "kept")).run("r2", "print(x + 1)")[0] == "21\n"


def test_a_copy_of_the_state_directory_touches_nothing_of_the_first(gateway: Start, home: Path) -> None:
    first = gateway()
    assert printed(first, "one", "print(1)") == "1\n"
    before = engine.containers(home)
    with tempfile.TemporaryDirectory(prefix="wc-", dir="/tmp") as directory:
        copy = Path(directory)
        shutil.copytree(home / "state", copy / "state", ignore=lambda at, all_: [n for n in all_ if n.endswith(".sock")])
        second = gateway(copy)
        assert printed(second, "other", "print(2)") == "2\n"
        assert engine.containers(home) == before
        assert second.stop() == 0
        assert engine.left_by(copy) == [] and engine.containers(home) == before
    assert first.attach(first.open("cpu", "one")).run("again", "print(3)")[0] == "3\n"


def room_of(home: Path, granted: pb.Granted) -> str:
    """Return the room of the worker that serves a session: its Unix socket lies in it."""
    return next(str(room) for room in (home / "state" / "rooms").iterdir() if room.name in granted.unix)
