"""Processes that a cell starts, and ways to leave one."""

from __future__ import annotations

import os
import signal

import pytest

from tests.worker.user.harness import PATIENCE_S, Gone


def test_a_forked_child_prints_to_the_pipes_and_ends_with_the_cell(user):
    done = user.run("#\nimport os\npid = os.fork()\nprint('child' if pid == 0 else 'parent')\nif pid: status = os.waitpid(pid, 0)[1]")
    assert done.out == "parent\n" and done.fds[1] == "child\n"
    assert done.values["status"] == 0 and done.kinds.count("end") == 1


def test_a_forked_childs_error_is_its_own(user):
    done = user.run("#\nimport os\npid = os.fork()\nif pid == 0: 1/0\nstatus = os.waitpid(pid, 0)[1]")
    assert done.end.status == "ok" and done.values["status"] == 256
    assert "ZeroDivisionError" in done.fds[2] and "Cell In" in done.fds[2]


def test_a_child_forked_in_a_coroutine_does_not_take_the_parents_requests(user):
    done = user.run(
        "#\nimport asyncio, atexit, os\natexit.register(os.write, 1, b'exit functions ran')\npid = os.fork()\n"
        "if pid == 0: await asyncio.sleep(30)"
    )
    assert done.end.status == "ok"
    assert [user.run(f"{i}").values for i in range(5)] == [{"_": i} for i in range(5)]
    done = user.run("#\nstatus = os.waitpid(pid, 0)[1]\natexit.unregister(os.write)")
    # What asyncio does in the child is Python's: 3.11 says that no loop runs. It must only end, and by itself.
    assert os.WIFEXITED(done.values["status"]) and done.fds[1] == "", done.fds


def test_a_pool_of_forked_processes_works(user):
    done = user.run(
        "#\nimport multiprocessing as mp\ndef f(i):\n    print('in', i)\n    return i * i\n"
        "with mp.get_context('fork').Pool(2) as pool: squares = pool.map(f, range(4))"
    )
    assert done.values["squares"] == [0, 1, 4, 9], done.traceback
    assert sorted(done.fds[1].split("\n")) == ["", "in 0", "in 1", "in 2", "in 3"]


def test_a_data_loader_with_workers_works(user):
    done = user.run(
        "#\nimport torch\nfrom torch.utils.data import DataLoader\ntorch.set_num_threads(1)\n"
        "total = sum(int(b.sum()) for b in DataLoader(list(range(8)), num_workers=2, multiprocessing_context='fork'))"
    )
    assert done.end.status == "ok", done.traceback
    assert done.values["total"] == 28


def test_a_child_that_displays_prints_its_text(user):
    done = user.run("#\nimport os\npid = os.fork()\nif pid == 0: display('shown')\nelse: os.waitpid(pid, 0);")
    assert done.fds[1] == "'shown'\n" and done.shown == []


DEATHS = [
    ("os._exit", "import os; print('last words', flush=True); os._exit(3)", 3),
    ("os._exit, not flushed", "import os; print('last words'); os._exit(3)", 3),
    ("segfault", "print('last words'); import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
    ("abort", "print('last words', end=''); import os; os.abort()", -signal.SIGABRT),
    ("kill", "print('last words', end=''); import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
]


@pytest.mark.parametrize(("source", "code"), [row[1:] for row in DEATHS], ids=[row[0] for row in DEATHS])
def test_what_was_printed_before_a_death_is_not_lost(fresh, source, code):
    fresh.start(f"#\n{source}")
    assert fresh.process.wait(PATIENCE_S) == code
    assert "".join(fresh.rest()).strip() == "last words"


def test_a_segfault_tells_its_stack(fresh):
    fresh.start("#\nimport ctypes\nctypes.string_at(0)", count=6)
    fresh.process.wait(PATIENCE_S)
    fresh.rest()
    fresh.drain()
    assert "Segmentation fault" in fresh.fds[2] and "ctypes" in fresh.fds[2]


def test_the_process_leaves_when_its_keeper_is_gone(fresh):
    fresh.run("#\nimport atexit\natexit.register(lambda: open('left', 'w').close())\n'x'")
    fresh.sock.close()
    assert fresh.process.wait(PATIENCE_S) == 0


def test_a_cell_that_prints_to_a_gone_keeper_ends_its_process(fresh):
    fresh.start("while True: print('x' * 1000)")
    fresh.until("x")
    fresh.sock.close()
    assert fresh.process.wait(PATIENCE_S) == 0


def test_a_damaged_frame_ends_the_process(fresh):
    fresh.send(b"\x7fnonsense")
    with pytest.raises((Gone, ConnectionError)):
        fresh.frame()
    assert fresh.process.wait(PATIENCE_S) != 0
