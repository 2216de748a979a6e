"""What a cell prints and shows, in order and whole."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time

import pytest

from remote_runtime.wire import frames
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.worker.interrupts import Interrupts
from remote_runtime.worker.outputs import Outputs, Tail
from tests.worker.user.harness import PATIENCE_S, TAIL_BYTES


def test_text_displays_and_results_come_in_the_order_they_were_made(user):
    done = user.run(
        "#\nimport sys\nprint('a')\nprint('b', file=sys.stderr)\ndisplay('c')\nprint('d', end='')\n"
        "from IPython.display import clear_output\nclear_output(wait=True)\nprint('e')\n'f'"
    )
    assert done.kinds == ["started", "stream", "stream", "display", "stream", "clear", "stream", "result", "end"]
    assert done.out == "a\nde\n" and done.err == "b\n"
    assert done.shown == [{"text/plain": "'c'"}, {"text/plain": "'f'"}]
    assert next(e for e in done.events if e.WhichOneof("body") == "clear").clear.wait


def test_started_names_the_process_and_every_event_its_run(user):
    done = user.run("print(1)")
    assert done.events[0].started.pid == user.ready["ready"] == user.process.pid
    assert {event.run_id for event in done.events} == {f"r{user.count}"}


WRITES = [
    ("subprocess", "import subprocess; subprocess.run(['sh', '-c', 'echo out; echo err >&2'])", "out\n", "err\n"),
    ("stdout handed on", "import subprocess, sys; subprocess.run(['echo', 'x'], stdout=sys.stderr)", "", "x\n"),
    ("os.system", "import os; _ = os.system('echo sys')", "sys\n", ""),
    ("printf", "import ctypes; c = ctypes.CDLL(None); c.printf(b'from c\\n'); c.fflush(None)", "from c\n", ""),
    ("os.write", "import os; os.write(2, b'raw')", "", "raw"),
    ("sys.__stdout__", "import sys; print('plain', file=sys.__stdout__)", "plain\n", ""),
]


@pytest.mark.parametrize(("source", "out", "err"), [row[1:] for row in WRITES], ids=[row[0] for row in WRITES])
def test_what_does_not_come_from_python_goes_to_the_pipes(user, source, out, err):
    done = user.run(f"#\n{source};")
    assert done.end.status == "ok", done.traceback
    assert done.fds == {1: out, 2: err} and done.out == ""


def test_the_streams_are_files_as_programs_expect(user):
    done = user.run(
        "#\nimport sys\ns = sys.stdout\nsays = (s.isatty(), s.encoding, s.fileno(), sys.stderr.fileno(), s.writable(), s.closed)\n"
        "s.buffer.write('é'.encode()[:1])\ns.buffer.write('é'.encode()[1:])\ns.writelines(['x', 'y'])\nn = s.write('\\ud800')"
    )
    assert done.values["says"] == (False, "utf-8", 1, 2, True, False)
    assert done.out == "éxy?" and done.values["n"] == 1


def test_writing_bytes_to_stdout_is_a_type_error(user):
    done = user.run("#\nimport sys\nsys.stdout.write(b'x')")
    assert done.end.problem.type_name == "TypeError" and "not bytes" in done.end.problem.message


def test_a_hundred_thousand_lines_arrive_whole_and_in_few_frames(user):
    done = user.run("for i in range(100_000): print(i)")
    assert done.out == "".join(f"{i}\n" for i in range(100_000))
    assert len(done.events) < 2000


def test_one_write_longer_than_the_tail_keeps_its_characters(user):
    done = user.run("print('é€😀' * 200_000, end='')\nprint('end')")
    assert done.out == "é€😀" * 200_000 + "end\n"


def test_threads_write_whole_lines(user):
    done = user.run(
        "#\nimport threading, sys\ndef work(k):\n    for i in range(500): sys.stdout.write(f'{k}-{i}\\n')\n"
        "many = [threading.Thread(target=work, args=(k,)) for k in range(4)]\n[t.start() for t in many]\n[t.join() for t in many];"
    )
    assert sorted(done.out.splitlines()) == sorted(f"{k}-{i}" for k in range(4) for i in range(500))


def test_a_finalizer_that_prints_within_a_print_does_not_block_it(user):
    done = user.run(
        "#\nimport gc\nclass Loud:\n    def __init__(self): self.me = self\n    def __del__(self): print('gone')\n"
        "gc.set_threshold(1)\ntry:\n    for i in range(300):\n        Loud(); print(i)\nfinally:\n    gc.set_threshold(700, 10, 10)\ngc.collect();"
    )
    lines = done.out.splitlines()
    assert lines.count("gone") == 300 and len(lines) == 600


class Interrupting(Tail):
    """Something prints while text is being stored, as a finalizer or a signal handler may."""

    def append(self, data: bytes) -> None:
        if data == b"outer":
            self.outputs.put(False, "inner")
        super().append(data)


def test_what_is_printed_within_a_print_comes_after_it():
    ours, theirs = socket.socketpair()
    tail, loop = os.memfd_create("tail"), asyncio.new_event_loop()
    os.ftruncate(tail, TAIL_BYTES)
    shared = Interrupting(tail)
    shared.outputs = Outputs(ours, shared, Interrupts(loop))
    shared.outputs.put(False, "outer")
    shared.outputs.flush()
    frame = next(frames.Splitter().feed(theirs.recv(1000)))
    assert frames.parse(pb.FromWorker, frame).event.stream.text == "outerinner"
    for thing in (ours, theirs, loop):
        thing.close()
    os.close(tail)


def test_text_without_an_end_of_line_comes_while_the_cell_goes_on(user):
    user.start("#\nimport time\nprint('half', end='')\nwhile 'go' not in globals(): time.sleep(0.01)")
    user.until("half")
    user.interrupt()
    assert user.finish_rest().end.status == "interrupted"


def test_printing_waits_for_the_keeper_rather_than_filling_memory(fresh):
    fresh.start("block = 'x' * 1_000_000\nfor i in range(100): print(block)")
    time.sleep(0.3)  # not a wait for something: the process must have nothing to do but wait
    before = _resident(fresh.process.pid)
    assert before < 250 * 1024 * 1024
    assert sum(len(e.stream.text) for e, _ in fresh.events() if e.WhichOneof("body") == "stream") == 100 * 1_000_001


def _resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("ending", ["\\n", ""])
@pytest.mark.parametrize("count", [1, 700, 20_000])
def test_what_was_printed_before_a_kill_is_in_the_channel_or_the_tail(fresh, ending, count):
    fresh.start(f"import os, sys\nfor i in range({count}): print(i, end=' {ending}')\nos.kill(os.getpid(), 9)")
    fresh.process.wait(PATIENCE_S)
    end = ending.replace("\\n", "\n")
    sent, rest = fresh.rest()
    assert sent + rest == "".join(f"{i} {end}" for i in range(count))


def test_a_kill_at_any_moment_leaves_every_printed_line_once(fresh):
    fresh.start("import itertools\nfor i in itertools.count(): print(i)")
    killer = threading.Timer(0.25, fresh.process.kill)
    killer.start()
    sent, rest = fresh.rest()
    lines = (sent + rest).splitlines()
    assert len(lines) > 100
    assert lines[:-1] == [str(i) for i in range(len(lines) - 1)]


CLOSINGS = [
    "import sys; sys.stdout.close(); sys.stderr.close()",
    "import os; os.close(1); os.close(2)",
    "import sys; sys.stdout = None; sys.stderr = None",
    "import os; os.dup2(os.open('/dev/null', os.O_WRONLY), 1)",
]


@pytest.mark.parametrize("closing", CLOSINGS)
def test_a_cell_that_closes_its_streams_leaves_them_open_for_the_next(user, closing):
    assert user.run(f"#\n{closing};").end.status == "ok"
    done = user.run("#\nimport os, sys\nprint('works')\nprint('too', file=sys.stderr)\nos.write(1, b'and the pipe');")
    assert (done.out, done.err, done.fds[1]) == ("works\n", "too\n", "and the pipe")


def test_a_stream_that_the_user_put_in_place_stays(user):
    user.run("#\nimport io, sys\nsys.stdout = mine = io.StringIO()")
    assert user.run("print('there')").out == ""
    done = user.run("#\ntext = mine.getvalue()\nsys.stdout.close()")
    assert done.values["text"] == "there\n"
    assert user.run("print('here')").out == "here\n"


def test_what_a_thread_prints_between_runs_belongs_to_the_run_before(user):
    user.run("#\nimport threading\nthreading.Timer(0.05, print, ['late']).start()")
    user.late.clear()
    while not user.late:
        user.ask(list_vars={})
    assert [(e.run_id, e.stream.text) for e in user.late] == [(f"r{user.count}", "late\n")]


def test_displays_carry_bytes_as_base64_and_ids_apart(user):
    done = user.run(
        "#\nfrom IPython.display import display, update_display\n"
        "display({'image/png': b'\\x89PNG', 'text/plain': 'p'}, raw=True, metadata={'a': 1}, display_id='one')\n"
        "update_display({'text/plain': 'q'}, raw=True, display_id='one')\nh = display('x', display_id=True);"
    )
    first, second, third = (e.display for e in done.events if e.WhichOneof("body") == "display")
    assert done.shown[0] == {"image/png": "iVBORw==", "text/plain": "p"}
    assert (first.display_id, first.update, first.mime.metadata_json) == ("one", False, '{"a": 1}')
    assert (second.display_id, second.update) == ("one", True)
    assert len(third.display_id) > 8


def test_a_display_that_is_too_large_says_its_size_instead(user):
    done = user.run("display({'text/html': 'x' * (33 * 2**20), 'text/plain': 'x'}, raw=True)")
    assert done.shown == [{"text/plain": "<text/html, text/plain: 33.0 MiB, not shown because it is over 32 MiB>"}]


def test_a_table_shows_as_html(user):
    done = user.run("#\nimport pandas as pd\npd.DataFrame({'a': [1, 2]})")
    assert "<table" in done.shown[0]["text/html"] and set(done.shown[0]) == {"text/html", "text/plain"}


def test_progress_bars_are_text(user):
    done = user.run("#\nfrom tqdm.auto import tqdm\nfor _ in tqdm(range(3)): pass")
    assert "3/3" in done.err and done.end.status == "ok"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("import warnings; warnings.warn('careful')", "UserWarning: careful"),
        ("import logging; logging.getLogger('x').warning('logged')", "logged"),
        ("import sys; print('plain', file=sys.stderr)", "plain"),
    ],
)
def test_warnings_and_logs_go_to_stderr(user, source, text):
    assert text in user.run(f"#\n{source}").err
