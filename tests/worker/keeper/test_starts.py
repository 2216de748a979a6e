"""Children are forks, or interpreters of their own: which it is, is decided once, and nobody else can tell."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.worker.starts import choose
from tests.worker.keeper.conftest import zygote_in_folder
from tests.worker.keeper.link import REAL, STANDIN, LiveKeeper, LiveZygote, alive, text_of, until


@pytest.mark.parametrize(
    ("asked", "platform", "threads", "start", "words"),
    [
        ("auto", "linux", {}, "fork", "no module imported ahead runs a thread"),
        ("auto", "linux", {"tensors": 2, "logs": 1}, "spawn", r"takes along: logs \(1 thread\), tensors \(2 threads\)"),
        ("auto", "darwin", {}, "spawn", "not safe on darwin"),
        ("fork", "linux", {"tensors": 2}, "fork", r"`start` is fork, although .* threads.*: tensors \(2 threads\)"),
        ("spawn", "linux", {}, "spawn", "`start` is spawn"),
    ],
)
def test_the_start_is_chosen_by_a_table(asked: str, platform: str, threads: dict, start: str, words: str) -> None:
    choice = choose(asked, platform, threads)
    assert choice.start == start
    assert re.search(words, choice.why)


THREADED = {
    "unsafe": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
    "safe": """
import os, threading
over = threading.Event()
idle = threading.Thread(target=over.wait, daemon=True)
idle.start()
os.register_at_fork(before=lambda: (over.set(), idle.join()))
""",
}


@pytest.mark.parametrize(("kind", "start"), [("unsafe", "spawn"), ("safe", "fork")])
def test_a_thread_that_knows_nothing_of_forks_ends_forking(kind: str, start: str, tmp_path: Path) -> None:
    (tmp_path / "threaded.py").write_text(THREADED[kind])
    paths = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    with zygote_in_folder(STANDIN, "--imports", "threaded", PYTHONPATH=paths) as zygote:
        told = zygote.ask({"op": "hello"})
        assert told["start"] == start and ("threaded (1 thread)" in told["why"]) == (start == "spawn")
        keeper = zygote.keeper().claim()
        assert keeper.client().run("pass").end().status == "ok"
        keeper.close()


def test_a_library_that_restarts_its_threads_is_forked_with() -> None:
    pytest.importorskip("numpy")
    with zygote_in_folder(STANDIN, "--imports", "numpy") as zygote:
        assert zygote.ask({"op": "hello"})["start"] == "fork"


@pytest.fixture(scope="module")
def spawning() -> Iterator[LiveZygote]:
    with zygote_in_folder(REAL, "--start", "spawn", "--imports", "fractions") as found:
        yield found


@pytest.fixture
def keeper(spawning: LiveZygote) -> Iterator[LiveKeeper]:
    found = spawning.keeper(grace_s=0.3, tick_s=0.02)
    yield found
    found.close()


def test_a_spawned_worker_has_imported_before_it_is_warm(keeper: LiveKeeper) -> None:
    client = keeper.claim().client()
    source = "\nimport sys\nprint('fractions' in sys.modules, 'grpc' in sys.modules, sys.argv)"
    assert text_of(list(client.run(source).events())) == "True False ['']\n"


@pytest.mark.parametrize(
    ("how", "words"),
    [("os.kill(os.getpid(), 9)", "was killed by SIGKILL"), ("os._exit(3)", "exited with code 3 (os._exit)")],
)
def test_a_dead_user_process_is_replaced_by_another_interpreter(keeper: LiveKeeper, how: str, words: str) -> None:
    client = keeper.claim().client()
    before = client.welcome.pid
    events = list(client.run(f"\nimport os\nprint('before'); {how}").events())
    assert text_of(events) == "before\n" and words in events[-1].end.problem.message
    assert events[-1].end.peak_memory_bytes > 0
    after = text_of(list(client.run("\nimport os\nprint(os.getpid(), os.getsid(0))", "r2").events("r2"))).split()
    assert after[0] == after[1] != str(before)


def test_a_spawned_process_forks_and_waits_for_its_child(keeper: LiveKeeper) -> None:
    client = keeper.claim().client()
    source = "\nimport os\npid = os.fork()\nif pid == 0: os._exit(3)\nprint(os.waitpid(pid, 0)[1] >> 8)"
    assert text_of(list(client.run(source).events())) == "3\n"


def test_an_interrupt_while_the_next_interpreter_starts_is_not_lost(spawning: LiveZygote) -> None:
    keeper = spawning.keeper(grace_s=1000).claim()
    client = keeper.client()
    client.run("\nimport os; os._exit(1)").end()
    client.run("\nwhile True: pass", "r2")
    client.send(interrupt=pb.Interrupt(run_id="r2"))
    assert client.end("r2").status == "interrupted"
    keeper.close()


def test_kills_while_the_next_interpreter_imports_are_no_false_starts(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    (tmp_path / "gated.py").write_text(f"import os, time\nwhile os.path.exists({str(gate)!r}): time.sleep(0.005)")
    paths = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    with zygote_in_folder(STANDIN, "--start", "spawn", "--imports", "gated", PYTHONPATH=paths) as zygote:
        keeper = zygote.keeper().claim()
        client = keeper.client()
        gate.touch()
        client.run("os._exit(1)").end()
        for name in ("r2", "r3", "r4", "r5"):
            client.run("pass", name)
            client.send(interrupt=pb.Interrupt(run_id=name, kill=True))
            assert client.end(name).status == "interrupted"
        gate.unlink()
        assert client.run("pass", "r6").end("r6").status == "ok"
        keeper.close()


def test_a_killed_keeper_takes_its_spawned_user_process_along(spawning: LiveZygote) -> None:
    keeper = spawning.keeper().claim()
    user = keeper.info().pid
    os.kill(keeper.pid, signal.SIGKILL)
    assert spawning.exit_of(keeper.worker_id)["signal"] == signal.SIGKILL
    until(lambda: not alive(user), "the user process's end")
    keeper.channel.close()


def test_a_spawned_keeper_shows_no_secret(keeper: LiveKeeper) -> None:
    shown = [Path(f"/proc/{keeper.pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
    assert b"--life" in shown[0] and not any(b"the-keeper-secret" in text for text in shown)


def test_an_order_that_cannot_be_read_starts_nobody(spawning: LiveZygote) -> None:
    assert "lacks or garbles" in spawning.ask({"op": "keeper", "worker_id": "w"})["message"]
    assert "w" not in spawning.ask({"op": "hello"})["workers"]
