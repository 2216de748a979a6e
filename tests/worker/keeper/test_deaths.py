"""However the user process, the keeper or the zygote dies: one end, everything printed before it, and life goes on."""

from __future__ import annotations

import os
import signal

import pytest

from remote_runtime.wire import forking
from remote_runtime.wire import messages_pb2 as pb
from tests.worker.keeper.conftest import Start, zygote_in_folder
from tests.worker.keeper.link import STANDIN, LiveKeeper, LiveZygote, Refused, alive, text_of, until

SAY = "channel.text('said '); os.write(1, b'written '); channel.tail('tail')\n"

DEATHS = {
    "sigkill": ("os.kill(os.getpid(), 9)", "was killed by SIGKILL"),
    "segfault": ("import ctypes; ctypes.string_at(0)", "was killed by SIGSEGV"),
    "abort": ("os.abort()", "was killed by SIGABRT"),
    "exit": ("os._exit(3)", "exited with code 3 (os._exit)"),
    "exit 0": ("os._exit(0)", "exited with code 0 (os._exit)"),
    "channel closed": (
        "channel.sock.close(); signal.pause()",
        "lost its connection to the keeper and was killed",
    ),
    "rubbish in the channel": ("channel.sock.sendall(b'\\xff' * 99); signal.pause()", "lost its connection"),
}


@pytest.mark.parametrize("way", DEATHS)
def test_a_death_is_one_end_and_loses_no_text(start: Start, way: str) -> None:
    how, words = DEATHS[way]
    client = start().claim().client()
    client.run("pass", "r0").end("r0")
    events = list(client.run(SAY + how).events())
    text, end = text_of(events), events[-1].end
    assert sorted(text.split()) == ["said", "tail", "written"]
    assert end.status == "died" and end.problem.code == "worker-died" and words in end.problem.message
    assert "names are gone: x" in end.problem.message and end.problem.hint
    assert not end.alive and end.peak_memory_bytes > 0
    assert client.run("channel.text('next')", "r2").end("r2").status == "ok"


def test_a_tail_that_was_sent_is_not_shown_again(start: Start) -> None:
    client = start().claim().client()
    source = "channel.tail('one two'); channel.text('one '); os.kill(os.getpid(), 9)"
    assert text_of(list(client.run(source).events())) == "one two"


def test_a_death_is_seen_though_a_child_holds_the_socket(start: Start) -> None:
    client = start().claim().client()
    source = "import time\nif os.fork(): os._exit(5)\nos.setsid(); time.sleep(2); os._exit(0)"
    end = client.run(source).end()
    assert "exited with code 5" in end.problem.message


def test_a_death_changes_the_incarnation_and_all_clients_hear_of_it(start: Start) -> None:
    keeper = start().claim(incarnation=4)
    one, two = keeper.client(), keeper.client()
    assert one.welcome.incarnation == 4
    one.run("os._exit(1)").end()
    assert two.get().welcome.incarnation == 5
    assert keeper.client().welcome.incarnation == 5


def test_a_death_between_runs_is_told_to_clients(start: Start) -> None:
    keeper = start().claim()
    client = keeper.client()
    os.kill(keeper.info().pid, signal.SIGKILL)
    assert "was killed by SIGKILL while it was idle" in client.get().notice.text
    assert client.get().welcome.incarnation == 2
    assert client.run("pass").end().status == "ok"


def test_a_death_during_a_request_fails_it(start: Start) -> None:
    client = start().claim().client()
    failure = client.ask(fetch=pb.Fetch(name="die")).failure
    assert failure.code == "worker-died" and "exited with code 9" in failure.message
    assert client.run("pass").end().status == "ok"


def test_a_queued_run_goes_to_the_next_user_process(start: Start) -> None:
    client = start().claim().client()
    client.run("import time; time.sleep(0.05); os._exit(1)", "r1")
    client.run("channel.text('next')", "r2")
    assert client.end("r1").status == "died"
    assert client.end("r2").status == "ok"


def test_memory_over_the_limit_is_killed_with_its_figures(start: Start) -> None:
    keeper = start(tick_s=0.02).claim(memory_limit_bytes=400 << 20)
    client = keeper.client()
    end = client.run("b = bytearray(500 << 20); signal.pause()").end()
    assert end.status == "died" and end.problem.code == "memory"
    assert "passed the memory limit of 400 MiB (peak " in end.problem.message
    assert end.peak_memory_bytes > 400 << 20
    assert client.run("pass", "r2").end("r2").status == "ok"


def test_memory_of_children_counts(start: Start) -> None:
    client = start(tick_s=0.02).claim(memory_limit_bytes=400 << 20).client()
    source = "pids = [os.fork() for _ in range(2)]\nb = bytearray(200 << 20); signal.pause()"
    assert client.run(source).end().problem.code == "memory"


def test_the_peak_is_of_the_run_and_not_of_the_past(start: Start) -> None:
    client = start().claim().client()
    big = client.run("b = bytearray(300 << 20); del b").end().peak_memory_bytes
    small = client.run("pass", "r2").end("r2").peak_memory_bytes
    assert small < 250 << 20 < 300 << 20 < big


# ---- interrupts ------------------------------------------------------------------------------------------------


def test_an_interrupt_reaches_python(start: Start) -> None:
    client = start().claim().client()
    client.run("channel.text('on')\nwhile True: pass").until_text("on")
    client.send(interrupt=pb.Interrupt(run_id="r1", why="user"))
    end = client.end()
    assert end.status == "interrupted" and end.problem.type_name == "KeyboardInterrupt"


def test_an_interrupt_before_the_code_has_begun_is_not_lost(start: Start) -> None:
    keeper = start(grace_s=1000).claim()
    client, user = keeper.client(), keeper.info().pid
    os.kill(user, signal.SIGSTOP)
    client.run("while True: pass")
    client.send(interrupt=pb.Interrupt(run_id="r1"))
    client.ask(list_runs=pb.ListRuns())
    os.kill(user, signal.SIGCONT)
    assert client.end().status == "interrupted"


DEAF = "signal.signal(2, signal.SIG_IGN); channel.text('on'); signal.pause()"


@pytest.mark.parametrize(
    ("why", "status"), [("user", "interrupted"), ("cancelled", "cancelled"), ("timeout", "timeout")]
)
def test_what_ignores_the_interrupt_is_killed_after_the_grace(start: Start, why: str, status: str) -> None:
    client = start(grace_s=0.2).claim().client()
    client.run("pass", "r0").end("r0")
    client.run(DEAF).until_text("on")
    client.send(interrupt=pb.Interrupt(run_id="r1", why=why))
    end = client.end()
    assert (end.status, end.problem.code) == (status, status)
    assert "did not stop within 0.2 s" in end.problem.message and "gone: x" in end.problem.message
    assert client.run("pass", "r2").end("r2").status == "ok"


def test_a_kill_does_not_wait(start: Start) -> None:
    client = start(grace_s=1000).claim().client()
    client.run(DEAF).until_text("on")
    client.send(interrupt=pb.Interrupt(run_id="r1"))
    client.send(interrupt=pb.Interrupt(run_id="r1", kill=True))
    assert client.end().status == "interrupted"


def test_an_interrupt_of_an_ended_run_changes_nothing(start: Start) -> None:
    client = start().claim().client()
    client.run("pass").end()
    client.send(interrupt=pb.Interrupt(run_id="r1", kill=True))
    assert client.run("pass", "r2").end("r2").status == "ok"


# ---- keeper and zygote -----------------------------------------------------------------------------------------


def test_a_killed_keeper_takes_its_user_process_along(start: Start) -> None:
    keeper = start().claim()
    user = keeper.info().pid
    keeper.client().run(DEAF).until_text("on")
    os.kill(keeper.pid, signal.SIGKILL)
    until(lambda: not alive(user), "the user process's end")
    assert keeper.zygote.exit_of(keeper.worker_id)["signal"] == signal.SIGKILL


def test_a_stopped_keeper_ends_its_runs_and_tells_why(start: Start) -> None:
    keeper = start().claim()
    client = keeper.client()
    client.run("channel.text('on'); signal.pause()").until_text("on")
    user = keeper.info().pid
    keeper.call("Stop", pb.KeeperStopRequest(grace_s=5, reason="the session is released"))
    seen = [client.get(), *(pb.FromWorker(event=e) for e in client.events())]
    assert seen[0].notice.text == "the session is released" and seen[-1].event.end.status == "cancelled"
    assert keeper.zygote.exit_of(keeper.worker_id)["code"] == 0
    until(lambda: not alive(user), "the user process's end")
    assert not keeper.path.exists()


def test_without_a_zygote_the_user_process_goes_on_and_its_loss_is_told() -> None:
    with zygote_in_folder(STANDIN) as zygote:
        keeper = zygote.keeper().claim()
        client = keeper.client()
        zygote.process.kill()
        zygote.process.wait()
        assert client.run("channel.text('still')").end().status == "ok"
        assert "nobody saw how" in client.run("os._exit(3)", "r2").end("r2").problem.message
        with pytest.raises(Refused, match="session-lost.*cannot start another"):
            client.run("pass", "r3").end("r3")
        keeper.close()


def test_user_processes_that_never_become_ready_end_an_unclaimed_keeper() -> None:
    with zygote_in_folder("tests.worker.keeper.no_such_module") as zygote:
        order = {"op": "keeper", "worker_id": "w", "socket": str(zygote.folder / "w"), "secret": "s"}
        zygote.ask(order | {"directory": "/", "log": str(zygote.folder / "log")})
        assert forking.EXIT_REASONS[zygote.exit_of("w")["code"]] == "start-failed"
        assert not (zygote.folder / "w").exists()


def test_a_log_on_a_full_disk_stops_nothing(zygote: LiveZygote) -> None:
    keeper = zygote.keeper(log="/dev/full").claim()
    client = keeper.client()
    assert client.run("os._exit(1)").end().status == "died"
    assert client.run("pass", "r2").end("r2").status == "ok"
    keeper.close()


def test_a_run_asked_for_while_the_session_stops_is_refused(start: Start) -> None:
    keeper = start().claim()
    client = keeper.client()
    client.run(DEAF).until_text("on")
    keeper.call("Stop", pb.KeeperStopRequest(grace_s=0.3))
    assert client.get().notice.text
    with pytest.raises(Refused, match="being stopped"):
        client.run("pass", "r2").end("r2")
    assert client.end().status == "cancelled"


def test_a_stranded_keeper_ends_itself() -> None:
    with zygote_in_folder(STANDIN) as zygote:
        keeper: LiveKeeper = zygote.keeper(stranded_s=0.2, tick_s=0.02).claim()
        zygote.process.kill()
        zygote.process.wait()
        os.kill(keeper.info().pid, signal.SIGKILL)
        until(lambda: not alive(keeper.pid), "the keeper's end")
        keeper.close()
