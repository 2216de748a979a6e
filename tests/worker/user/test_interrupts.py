"""Ctrl-C in every state of a run."""

from __future__ import annotations

import pytest

ARMED = "#\nimport threading\nthreading.Timer(0.05, print, ['go'], {'flush': True}).start()\n"
"""Says `go` from a thread, when the main thread has come to the line below."""

LOOPS = [
    ("loop", "while True: pass", 4),
    ("time.sleep", "import time; time.sleep(60)", 4),
    ("async sleep", "import asyncio\nawait asyncio.sleep(60)", 5),
    ("loop after await", "import asyncio\nawait asyncio.sleep(0)\nwhile True: pass", 6),
    ("printing", "import itertools\nfor i in itertools.count(): print(i)", 5),
    ("subprocess", "import subprocess\nsubprocess.run(['sleep', '60'])", 5),
    ("wait for a thread", "threading.Event().wait()", 4),
    ("nested", "def f():\n    while True: pass\n%time f()", 5),
]


@pytest.mark.parametrize(("source", "line"), [row[1:] for row in LOOPS], ids=[row[0] for row in LOOPS])
def test_a_running_cell_stops_at_its_line(user, source, line):
    user.start(ARMED + source, count=9)
    user.until("go")
    user.interrupt()
    done = user.finish_rest()
    assert (done.end.status, done.end.problem.type_name) == ("interrupted", "KeyboardInterrupt")
    assert f"Cell In[9], line {line}" in done.traceback and done.end.problem.has_exception
    assert user.run("1").values == {"_": 1}


def test_a_press_at_the_very_start_is_not_lost(user):
    for _ in range(25):
        user.start("#\nimport time\ntime.sleep(60)")
        assert user.message().message.event.HasField("started")
        user.interrupt()
        assert user.finish_rest().end.status == "interrupted"


def test_what_was_bound_before_an_interrupt_comes_back(user):
    user.start("x = 1\nprint('go', flush=True)\nwhile True: pass")
    user.until("go")
    user.interrupt()
    done = user.finish_rest()
    assert done.values["x"] == 1 and done.end.problem.has_exception


def test_an_interrupt_while_results_are_pickled_leaves_them_in_the_session(user):
    user.start("#\nimport time\nclass Slow:\n    def __reduce__(self):\n        print('packing', flush=True)\n        time.sleep(60)\nx = Slow()")
    user.until("packing")
    user.interrupt()
    done = user.finish_rest()
    assert done.end.status == "interrupted" and done.values == {}
    assert {"x", "Slow", "time"} <= set(done.held) and done.held["x"].why == "interrupted"


class Slow:
    def __reduce__(self):
        return exec, ("import os, time; os.write(1, b'unpickling'); time.sleep(60)",)


def test_an_interrupt_while_values_arrive_stops_the_run(user):
    user.start("ran = 1", {"slow": Slow()})
    while not user.fds[1]:
        user.drain()
    user.interrupt()
    done = user.finish()
    assert done.end.status == "interrupted" and "ran" not in done.end.alive


def test_an_interrupt_between_runs_is_nothing(user):
    user.interrupt()
    assert user.run("1").values == {"_": 1}
    user.run("#\nimport asyncio\nasync def forever():\n    while True: await asyncio.sleep(0.001)\nt = asyncio.create_task(forever())")
    user.interrupt()
    assert user.run("#\nn = t.done()\nt.cancel();").values["n"] is False


def test_a_cell_may_catch_it(user):
    user.start("#\ntry:\n    print('go', flush=True)\n    while True: pass\nexcept KeyboardInterrupt:\n    print('caught')")
    user.until("go")
    user.interrupt()
    done = user.finish_rest()
    assert done.end.status == "ok" and done.out == "caught\n"


def test_a_handler_that_a_cell_has_set_does_not_stay(user):
    user.run("#\nimport signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN);")
    user.start("print('go', flush=True)\nwhile True: pass")
    user.until("go")
    user.interrupt()
    assert user.finish_rest().end.status == "interrupted"


def test_presses_at_any_moment_leave_one_end_per_run_and_whole_frames(user):
    for _ in range(60):
        user.start("for i in range(300): print(i)\nx = list(range(300))")
        user.interrupt()
        done = user.finish()
        assert done.end.status in ("ok", "interrupted")
        lines = done.out.splitlines()
        assert lines[:-1] == [str(i) for i in range(len(lines) - 1)]
    assert user.run("1").values == {"_": 1}
