from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from remote_runtime.engines import pids

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def child() -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(SLEEPER)
    yield process
    process.kill()
    process.wait()


def test_a_mark_lives_as_long_as_its_process(child: subprocess.Popen) -> None:
    mark = pids.mark(child.pid)
    assert mark.alive
    assert mark.send(signal.SIGKILL)
    assert asyncio.run(pids.ended(mark, 5))
    child.wait()
    assert not mark.alive
    assert not mark.send(signal.SIGKILL)


def test_a_zombie_is_not_alive(child: subprocess.Popen) -> None:
    mark = pids.mark(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not mark.alive
    assert pids.mark(child.pid) is None


def test_a_pid_given_away_again_is_another_process(child: subprocess.Popen) -> None:
    mark = pids.mark(child.pid)
    other = pids.Mark(mark.pid, mark.start_ticks - 1)
    assert not other.alive
    assert not other.send(signal.SIGKILL)
    assert child.poll() is None


def test_waiting_for_an_end_has_a_limit(child: subprocess.Popen) -> None:
    assert asyncio.run(pids.ended(pids.mark(child.pid), 0.01)) is False


@pytest.mark.parametrize("with_pidfd", [True, False])
@pytest.mark.parametrize("already", [True, False])
def test_an_end_is_told_once(monkeypatch: pytest.MonkeyPatch, child: subprocess.Popen, with_pidfd: bool, already: bool) -> None:
    if not with_pidfd:
        monkeypatch.delattr(os, "pidfd_open")
    mark = pids.mark(child.pid)

    async def watch() -> int:
        told, count = asyncio.Event(), []
        if already:
            child.kill()
            child.wait()
        pids.on_end(mark, asyncio.get_running_loop(), lambda: (count.append(1), told.set()))
        child.kill()
        child.poll()
        waiting = asyncio.ensure_future(told.wait())
        await asyncio.get_running_loop().run_in_executor(None, child.wait)
        await asyncio.wait_for(waiting, 5)
        return len(count)

    assert asyncio.run(watch()) == 1


def test_watching_can_be_stopped(child: subprocess.Popen) -> None:
    async def watch() -> list[int]:
        count: list[int] = []
        stop = pids.on_end(pids.mark(child.pid), asyncio.get_running_loop(), lambda: count.append(1))
        stop()
        stop()
        child.kill()
        await asyncio.get_running_loop().run_in_executor(None, child.wait)
        return count

    assert asyncio.run(watch()) == []


def test_descent_and_names(child: subprocess.Popen) -> None:
    assert pids.descends(child.pid, os.getpid())
    assert not pids.descends(os.getpid(), child.pid)
    assert pids.name_of(child.pid).startswith(f"pid {child.pid} (")
    assert pids.name_of(2**22 + 1) == f"pid {2**22 + 1}"
