"""What time does: timeouts, keep times, leases, and a zygote nobody needs."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from remote_runtime.wire import forking
from remote_runtime.wire import messages_pb2 as pb
from tests.worker.keeper.conftest import Start
from tests.worker.keeper.link import STANDIN, LiveZygote, alive, until

WAIT = "channel.text('on'); signal.pause()"


def test_a_timeout_interrupts_and_says_so(start: Start) -> None:
    client = start().claim().client()
    end = client.run(WAIT, timeout_s=0.1).end()
    assert (end.status, end.problem.code) == ("timeout", "timeout")
    assert "passed its timeout of 0.1 s" in end.problem.message and "--timeout" in end.problem.hint
    assert list(end.alive) == ["x"]


def test_a_timeout_that_is_ignored_kills(start: Start) -> None:
    client = start(grace_s=0.1).claim().client()
    end = client.run("signal.signal(2, signal.SIG_IGN)\nwhile True: pass", timeout_s=0.1).end()
    assert end.status == "timeout" and "did not stop within 0.1 s" in end.problem.message


def test_a_run_outlives_its_clients_for_its_keep_time_only(start: Start) -> None:
    keeper = start(tick_s=0.02).claim()
    client = keeper.client().run(WAIT, keep_s=0.2)
    client.until_text("on")
    client.close()
    until(lambda: keeper.info().state == "idle", "the run's end")
    assert keeper.info().state == "idle"


def test_a_run_is_kept_while_any_client_is_there(start: Start) -> None:
    keeper = start(tick_s=0.02).claim()
    stays, leaves = keeper.client(), keeper.client()
    leaves.run(WAIT, keep_s=0.05).until_text("on")
    leaves.close()
    until(lambda: keeper.info().attached_count == 1, "the client to leave")
    ticks = [keeper.info().state for _ in range(100)]
    assert set(ticks) == {"running"}
    stays.send(interrupt=pb.Interrupt(run_id="r1"))


def test_a_worker_that_was_paused_is_not_said_to_have_heard_nobody(start: Start) -> None:
    keeper = start(ttl_s=1.0, tick_s=0.02, frozen_s=0.2).claim()
    os.kill(keeper.pid, signal.SIGSTOP)
    time.sleep(1.5)  # longer than its lease
    os.kill(keeper.pid, signal.SIGCONT)
    assert keeper.info().session_id == "s1"
    ended = keeper.zygote.exit_of(keeper.worker_id)
    assert forking.EXIT_REASONS[ended["code"]] == "lease", "unheard from then on, it ends"


def test_a_lease_unheard_ends_the_worker(start: Start) -> None:
    keeper = start(ttl_s=0.2, tick_s=0.02).claim()
    user = keeper.info().pid
    ended = keeper.zygote.exit_of(keeper.worker_id)
    assert forking.EXIT_REASONS[ended["code"]] == "lease"
    until(lambda: not alive(user), "the user process's end")
    assert not keeper.path.exists()


def test_a_client_holds_the_lease(start: Start) -> None:
    keeper = start(ttl_s=0.1, tick_s=0.02).claim()
    client = keeper.client()
    assert client.run("import time; time.sleep(0.5)").end().status == "ok"
    client.send(ack=pb.Ack(run_id="r1", seq=2))
    client.ask(list_runs=pb.ListRuns())
    client.close()
    assert keeper.zygote.exit_of(keeper.worker_id)["code"] == forking.LEASE


def test_an_unread_run_holds_the_lease_for_its_keep_time(start: Start) -> None:
    keeper = start(ttl_s=0.1, tick_s=0.02).claim()
    client = keeper.client()
    client.run("import time; time.sleep(0.3)", keep_s=1000).started()
    client.close()
    until(lambda: keeper.info().state == "idle", "the run's end")
    later = keeper.client()
    later.send(follow=pb.Follow(run_id="r1"))
    assert later.end().status == "ok"


def test_a_lease_renewed_goes_on(start: Start) -> None:
    keeper = start(ttl_s=0.2, tick_s=0.02).claim()
    keeper.call("Renew", pb.RenewRequest(ttl_s=1000))
    assert keeper.client().run("import time; time.sleep(0.4)").end().status == "ok"


# ---- zygote ----------------------------------------------------------------------------------------------------


Begin = Callable[[str], LiveZygote]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Starts a zygote with a time to live."""
    with tempfile.TemporaryDirectory(prefix="wc-") as folder, ExitStack() as stack:

        def zygote(ttl_s: str) -> LiveZygote:
            found = LiveZygote(Path(folder), STANDIN, "--ttl-s", ttl_s)
            stack.callback(found.close)
            return found

        yield zygote


def test_a_zygote_nobody_needs_ends_itself(begin: Begin) -> None:
    zygote = begin("0.2")
    assert zygote.ask({"op": "hello"})["workers"] == []
    zygote.sock.close()
    assert zygote.process.wait(20) == 0 and not zygote.path.exists()


def test_an_unclaimed_worker_outlives_its_engine_a_while_only(begin: Begin) -> None:
    zygote = begin("0.2")
    keeper = zygote.keeper(ttl_s=0.2, tick_s=0.02)
    zygote.sock.close()
    until(lambda: not alive(keeper.pid), "the keeper's end")
    assert zygote.process.wait(20) == 0


def test_a_claimed_worker_goes_on_without_engine(begin: Begin) -> None:
    zygote = begin("0.2")
    keeper = zygote.keeper(tick_s=0.02).claim()
    zygote.sock.close()
    assert keeper.client().run("import time; time.sleep(0.5)").end().status == "ok"
    assert zygote.process.poll() is None
    keeper.close()
    assert zygote.process.wait(20) == 0


def test_sigterm_takes_all_workers_along(begin: Begin) -> None:
    zygote = begin("100")
    keeper = zygote.keeper().claim()
    user = keeper.info().pid
    os.kill(zygote.process.pid, signal.SIGTERM)
    assert zygote.process.wait(20) == 0
    assert not alive(keeper.pid) and not alive(user)
    keeper.channel.close()


def test_an_unknown_op_is_refused_with_words(begin: Begin) -> None:
    zygote = begin("100")
    assert "no such op: 'dance'" in zygote.ask({"op": "dance"})["message"]
    assert "lacks or garbles" in zygote.ask({"op": "keeper"})["message"]
    zygote.sock.send(b"no json")
    assert zygote.hear()["op"] == "refused"
    assert zygote.ask({"op": "hello"})["pid"] == zygote.process.pid
