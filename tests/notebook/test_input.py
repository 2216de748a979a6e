"""`input()` in a remote cell is asked by the notebook that runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_proxy.runtime import connect
from kernel_proxy.settings import load_settings
from tests.kernels import LiveKernel
from tests.notebook.conftest import code, kernel_in, users


def test_input_shows_the_front_ends_prompt_and_returns_its_answer(kernel: LiveKernel) -> None:
    request = kernel.start("%%gpu\nname = input('name? ')\nprint('hello', name)")
    assert kernel.asked() == {"prompt": "name? ", "password": False}
    kernel.answer("Ada")
    assert kernel.finish(request).text() == "hello Ada\n"


def test_a_password_is_asked_for_unseen(kernel: LiveKernel) -> None:
    request = kernel.start("%%gpu\nimport getpass\nlen(getpass.getpass('key: '))")
    assert kernel.asked() == {"prompt": "key: ", "password": True}
    kernel.answer("secret")
    assert users(kernel.finish(request))[0]["data"]["text/plain"] == "6"


def test_what_was_printed_before_stands_before_the_prompt(kernel: LiveKernel) -> None:
    request = kernel.start("%%gpu\nprint('first', end='')\ninput()")
    kernel.asked()
    kernel.wait_for(lambda m: m["content"].get("text") == "first")
    kernel.answer("")
    assert kernel.finish(request).status == "ok"


def test_lines_of_stdin_are_asked_for(kernel: LiveKernel) -> None:
    request = kernel.start("%%gpu\nimport sys\nprint([sys.stdin.readline(), sys.stdin.readline(2)])")
    for text in ("one", "two"):
        kernel.asked()
        kernel.answer(text)
    assert kernel.finish(request).text() == "['one\\n', 'tw']\n"


def test_the_end_of_input_is_an_eof_error(kernel: LiveKernel) -> None:
    request = kernel.start("%%gpu\ninput()")
    kernel.asked()
    kernel.answer("\x04")
    assert kernel.finish(request).error["ename"] == "EOFError"


def test_where_nobody_can_be_asked_the_cell_says_so(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\ninput('name? ')", allow_stdin=False)
    assert shown.error["ename"] == "StdinNotImplementedError"
    assert "takes no input" in shown.traceback and "hint: pass the value" in shown.traceback


def test_threads_are_answered_each_its_own(kernel: LiveKernel) -> None:
    request = kernel.start(code("""
        %%gpu
        import threading
        said = {}
        threads = [threading.Thread(target=lambda n=n: said.update({n: input(n)})) for n in 'ab']
        for t in threads: t.start()
        for t in threads: t.join()
        print(sorted(said.items()))
        """))
    for _ in "ab":
        kernel.answer(kernel.asked()["prompt"].upper())
    assert kernel.finish(request).text() == "[('a', 'A'), ('b', 'B')]\n"


def test_an_interrupt_leaves_the_prompt_and_the_next_cell_works(kernel: LiveKernel) -> None:
    request = kernel.start("%%gpu\ninput('name? ')")
    kernel.asked()
    kernel.manager.interrupt_kernel()
    assert kernel.finish(request).error["ename"] == "KeyboardInterrupt"
    assert kernel.run("%%gpu\nprint('on')").text() == "on\n"


def test_the_prompt_goes_away_when_the_run_ends_by_itself(kernel: LiveKernel) -> None:
    request = kernel.start("%%gpu --timeout 1\ninput('name? ')")
    kernel.asked()
    assert kernel.finish(request).error["ename"] == "RunTimeout"
    assert kernel.run("print('on')").text() == "on\n"


def test_an_asking_coroutine_is_answered_and_can_be_interrupted(kernel: LiveKernel) -> None:
    request = kernel.start("%%gpu\nimport asyncio\nawait asyncio.sleep(0)\nprint(input())")
    kernel.asked()
    kernel.answer("yes")
    assert kernel.finish(request).text() == "yes\n"


def test_the_debugger_reads_its_commands(kernel: LiveKernel) -> None:
    request = kernel.start("%%gpu\nn = 41\nbreakpoint()\nprint('after', n)")
    for command in ("!n = 42", "c"):
        assert "db" in kernel.asked()["prompt"]
        kernel.answer(command)
    shown = kernel.finish(request)
    assert shown.status == "ok" and "after 42" in shown.text()


def test_a_run_in_the_background_cannot_ask(kernel: LiveKernel) -> None:
    kernel.run("%%gpu --bg=asks\ninput()")
    shown = kernel.run("asks.result()")
    assert shown.error["ename"] == "StdinNotImplementedError" and "hint: run the cell without `--bg`" in shown.traceback


def test_a_thread_that_asks_after_its_cell_is_told(kernel: LiveKernel) -> None:
    kernel.run(code("""
        %%gpu
        import threading
        go, said = threading.Event(), []
        def late():
            go.wait()
            try: input()
            except Exception as error: said.append(str(error))
        thread = threading.Thread(target=late); thread.start()
        """))
    shown = kernel.run("%%gpu\ngo.set(); thread.join()\nprint(said[0])")
    assert "the cell that started this code has ended" in shown.text()


@pytest.fixture
def other(home: Path) -> Iterator[LiveKernel]:
    with kernel_in(home) as kernel:
        yield kernel


def running(home: Path) -> str:
    """The id of the only run that has not ended."""
    runtime = connect(load_settings({"home": str(home)}, environment={}), start=False)
    found = [run.run_id for session in runtime.describe().sessions for run in session.runs if run.state == "running"]
    runtime.close()
    assert len(found) == 1
    return found[0]


def test_who_started_the_run_is_asked_and_who_follows_is_told(kernel: LiveKernel, other: LiveKernel, home: Path) -> None:
    request = kernel.start("%%gpu\nprint('said', input('name? '))")
    kernel.asked()
    watching = other.start(f"%gpu attach {running(home)}")
    told = other.wait_for(lambda m: "asks for input" in str(m["content"].get("data", "")))
    assert "name?" in told["content"]["data"]["text/plain"]
    kernel.answer("Ada")
    assert kernel.finish(request).text() == other.finish(watching).text() == "said Ada\n"
