"""A gateway killed at each step of a lease: nothing of it is lost or counted twice, and its worker is adopted."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import grpc
import pytest

from remote_runtime.gateway.directories import key_of
from remote_runtime.gateway.schema import MIGRATIONS
from remote_runtime.wire import messages_pb2 as pb
from tests.gateway.dying import STEPS
from tests.gateway.running import LIMIT_S, QUICK, ROOT, Refused, Running, command, rows
from tests.leftovers import processes_naming
from tests.worker.keeper.link import until

Start = Callable[..., Running]
OPENING = ("devices chosen", "worker taken", "written down", "claimed", "counted")
ENDING = tuple(step for step in STEPS if step not in OPENING)
HAS_A_SESSION = ("claimed", "counted")

USED = """SELECT session_id, held_s, (SELECT TOTAL(seconds) FROM usage
    WHERE lease = session_id AND phase IN ('running', 'idle')) FROM sessions"""


def require_books_in_order(home: Path) -> None:
    """Every session ended once, with rows of usage that add up to what its keeper counted, no more and no less."""
    for session_id, held_s, used_s in rows(home, USED):
        assert held_s is None or used_s == pytest.approx(held_s, abs=0.01), session_id
    assert rows(home, "SELECT COUNT(*) FROM sessions WHERE released_at IS NULL OR token != ''") == [(0,)]
    assert rows(home, "SELECT COUNT(*) FROM queue") == [(0,)]
    assert rows(home, "SELECT COUNT(*) FROM workers") == [(0,)]
    assert rows(home, "SELECT COUNT(*) FROM runs WHERE state = 'running' OR log IS NOT NULL") == [(0,)]


@pytest.mark.parametrize("step", OPENING)
def test_killed_while_it_opens(gateway: Start, home: Path, step: str) -> None:
    first = gateway("--simulate", "A100", dies=step)
    with pytest.raises(grpc.RpcError):
        list(first.updates("A100", "nb"))
    assert first.process.wait(LIMIT_S) == -signal.SIGKILL
    written = rows(home, "SELECT session_id FROM sessions")
    second = gateway("--simulate", "A100")
    granted = second.open("A100", "nb")
    assert ((granted.session_id,) in written) == (step in HAS_A_SESSION)
    assert granted.devices[0].id == "sim-A100-0"
    assert second.attach(granted).run("r", "x = 1")[1].status == "ok"
    assert second.stop() == 0
    assert rows(home, "SELECT DISTINCT state FROM runs WHERE run_id = 'r'") in ([], [("ok",)])
    require_books_in_order(home)
    assert not processes_naming(str(home))


@pytest.mark.parametrize("step", ENDING)
def test_killed_while_it_ends(gateway: Start, home: Path, step: str) -> None:
    first = gateway("--simulate", "A100", dies=step)
    granted = first.open("A100", "nb")
    first.attach(granted).run("r", "x = 1")
    with pytest.raises(Refused):
        first.call("Release", pb.ReleaseRequest(session="nb"))
    assert first.process.wait(LIMIT_S) == -signal.SIGKILL
    second = gateway("--simulate", "A100")
    again = second.open("A100", "nb")
    assert again.fresh == (step != "about to release")
    assert second.stop() == 0
    require_books_in_order(home)
    assert not processes_naming(str(home))


def test_killed_under_a_run_everything_is_counted_once(gateway: Start, home: Path) -> None:
    first = gateway("--simulate", "A100")
    granted = first.open("A100", "nb")
    first.attach(granted).start("r", "import time, pathlib\nwhile not pathlib.Path('go').exists(): time.sleep(0.005)")
    until(lambda: rows(home, "SELECT 1 FROM usage WHERE phase = 'idle'"), "the first row")
    first.end(signal.SIGKILL)
    second = gateway("--simulate", "A100")
    attached = second.attach(second.open("A100", "nb"))
    (home / "state" / "sessions" / key_of("nb") / "files" / "go").touch()
    attached.send(pb.ToWorker(request_id=3, follow=pb.Follow(run_id="r")))
    attached.finish("r")
    (told,) = second.call("Describe", pb.DescribeRequest()).sessions
    assert second.stop() == 0
    require_books_in_order(home)
    ((running_s,),) = rows(home, "SELECT TOTAL(seconds) FROM usage WHERE phase = 'running'")
    assert running_s == pytest.approx(told.busy_s, abs=0.01)


def test_a_place_in_the_queue_is_kept_by_its_ticket(gateway: Start, home: Path) -> None:
    first = gateway("--simulate", "A100", "--release-countdown-s", "1000")
    first.open("A100", "holder")
    waits = {}  # a call that nobody refers to is cancelled
    tickets = [next(waits.setdefault(n, first.updates("A100", n))).waiting.ticket for n in ("early", "late")]
    assert rows(home, "SELECT ticket, arrived, name FROM queue ORDER BY arrived") == [
        (tickets[0], 2, "early"), (tickets[1], 3, "late"),
    ]  # fmt: skip
    first.process.kill()  # and not `end`, which hangs up first
    first.process.wait(LIMIT_S)
    second = gateway("--simulate", "A100", "--release-countdown-s", "1000")
    late = second.updates("A100", "late", ticket=tickets[1])
    assert next(late).waiting.place == 1
    newcomer = second.updates("A100", "newcomer")
    assert next(newcomer).waiting.place == 2
    early = second.updates("A100", "early", ticket=tickets[0])
    came_back = next(early).waiting
    assert (came_back.place, came_back.ticket, came_back.note) == (1, tickets[0], "")
    assert [next(wait).waiting.place for wait in (late, newcomer)] == [2, 3]
    second.call("Release", pb.ReleaseRequest(session="holder"))
    assert [update.WhichOneof("body") for update in early][-1] == "granted"
    late.cancel()
    newcomer.cancel()
    assert second.stop() == 0
    require_books_in_order(home)


def test_a_ticket_that_nobody_knows_is_told_and_queues_anew(gateway: Start) -> None:
    running = gateway("--simulate", "A100", "--release-countdown-s", "1000")
    running.open("A100", "holder")
    waiting = next(wait := running.updates("A100", "nb", ticket="s-of-another-time")).waiting
    assert (waiting.place, "no longer knows your place" in waiting.note) == (1, True)
    assert waiting.ticket not in ("", "s-of-another-time")
    wait.cancel()


def test_an_orderly_end_keeps_the_places_of_those_who_wait(gateway: Start, home: Path) -> None:
    first = gateway("--simulate", "A100", "--release-countdown-s", "1000")
    first.open("A100", "holder")
    wait = first.updates("A100", "nb")
    ticket = next(wait).waiting.ticket
    first.process.send_signal(signal.SIGTERM)
    with pytest.raises(grpc.RpcError) as broken_off:
        list(wait)
    assert broken_off.value.code() is grpc.StatusCode.UNAVAILABLE  # a kernel takes that for "away", and comes back
    assert first.process.wait(LIMIT_S) == 0
    assert rows(home, "SELECT ticket FROM queue") == [(ticket,)]
    second = gateway("--simulate", "A100", "--release-countdown-s", "1000")
    waiting = next(wait := second.updates("A100", "nb", ticket=ticket)).waiting
    assert (waiting.ticket, waiting.note) == (ticket, "")
    wait.cancel()


def test_a_damaged_store_is_told_to_the_first_who_opens(gateway: Start, home: Path) -> None:
    gateway("--min-warm", "0").end()
    (home / "state" / "store.db").write_bytes(b"not a store " * 1000)
    second = gateway()
    notes = [[update.waiting.note for update in second.updates("cpu", name)] for name in ("first", "second")]
    assert "was damaged" in notes[0][0] and not any(notes[0][1:]) and not any(notes[1])
    assert (home / "state" / "store.db.damaged-1").exists()


def test_a_store_of_a_newer_warmcell_is_not_touched(gateway: Start, home: Path) -> None:
    gateway("--min-warm", "0").end()
    with closing(sqlite3.connect(home / "state" / "store.db")) as store:
        store.execute("INSERT INTO migrations VALUES (99, 0, 'newer')")
        store.commit()
    done = subprocess.run(command(home, *QUICK), cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 1
    assert f"was written by a newer warmcell (its version is 99, this one knows {len(MIGRATIONS)})\nhint: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not processes_naming(str(home))
