"""The interrupt button, runs in the background, and runs that outlive their kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernels import LiveKernel, Shown
from tests.notebook.conftest import code, kernel_in, notices, receipt, users, value


def follow(kernel: LiveKernel, cell: str, acts: dict[str, Callable[[], Any]]) -> Shown:
    """Run a cell; do each thing once, when its text is first printed."""
    request, shown, left = kernel.start(cell), Shown(), dict(acts)
    while True:
        message = kernel.client.get_iopub_msg(timeout=30)
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["content"].get("execution_state") == "idle":
            break
        shown.outputs.append({"type": message["msg_type"], **message["content"]})
        for text in [text for text in left if text in shown.text()]:
            left.pop(text)()
    shown.status = kernel.client.get_shell_msg(timeout=30)["content"]["status"]
    assert not left, f"never printed: {list(left)}"
    return shown


def test_an_interrupt_ends_the_cell_at_the_users_line(kernel: LiveKernel) -> None:
    cell = "%%gpu\nimport time\nheld = 1\nwhile True: print('going', flush=True); time.sleep(0.01)"
    shown = follow(kernel, cell, {"going": kernel.manager.interrupt_kernel})
    assert shown.error["ename"] == "KeyboardInterrupt"
    assert "line 4" in shown.traceback and "jupyter_ext" not in shown.traceback
    assert receipt(shown)["status"] == "interrupted"
    assert kernel.run("%%gpu\nheld + 1").result == "2"


def test_a_second_press_kills_what_ignores_the_first(kernel: LiveKernel) -> None:
    kernel.run("%%gpu --keep treasure\ntreasure = [1]")
    cell = code("""
        %%gpu
        import time
        while True:
            try:
                print('going', flush=True)
                while True: time.sleep(0.01)
            except KeyboardInterrupt:
                print('ignored', flush=True)
        """)

    press = kernel.manager.interrupt_kernel
    ended = follow(kernel, cell, {"going": press, "ignored": press})
    assert ended.error["ename"] == "Interrupted"
    assert "treasure" in ended.traceback + ended.error["evalue"]
    lost = kernel.run("%%gpu\n1 + 1")
    assert any("`treasure`" in notice for notice in notices(lost))
    assert kernel.run("treasure.get()").error["ename"] == "SessionLost"
    assert kernel.run("%%gpu\ntreasure").error["ename"] == "SessionLost"


def test_a_job_returns_at_once_and_binds_when_asked(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu --bg=training\nprint('in the back')\nloss = 0.5\nloss * 2")
    assert "gpu job training" in shown.result
    assert value(kernel, "training.result(20), loss, training.status") == (1.0, 0.5, "ok")
    assert "in the back" in value(kernel, "training.logs()")


def test_a_job_binds_nothing_by_itself(kernel: LiveKernel) -> None:
    kernel.run("%%gpu --bg=quiet\nlate = 1")
    kernel.run("quiet._ended.wait(20)")
    assert value(kernel, "quiet.status, 'late' in globals()") == ("ok", False)
    kernel.run("%gpu wait quiet")
    assert value(kernel, "late") == 1


def test_a_job_can_be_awaited_and_raises_what_the_run_raised(kernel: LiveKernel) -> None:
    kernel.run("%%gpu --bg=failing\nimport time\n1 / 0")
    shown = kernel.run("await failing")
    assert shown.error["ename"] == "ZeroDivisionError"
    assert "line 3" in shown.traceback and "jupyter_ext" not in shown.traceback


def test_a_job_shows_itself_in_its_own_display_alone(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu --bg=loud\nprint('from the back')\n" + "import time; time.sleep(0.3)")
    displays = [o["transient"]["display_id"] for o in shown.outputs if o["type"] == "display_data"]
    other = kernel.run("loud._ended.wait(20)\nprint('here')")
    assert other.text() == "here\n"
    assert len(displays) == 1


def test_a_job_can_be_cancelled(kernel: LiveKernel) -> None:
    kernel.run("%%gpu --bg=endless\nimport time\nwhile True: time.sleep(0.01)")
    kernel.run("%gpu cancel endless")
    shown = kernel.run("endless.result(20)")
    assert shown.status == "error"
    assert value(kernel, "endless.status") in ("cancelled", "interrupted")


def test_attach_replays_everything_once_and_in_order(kernel: LiveKernel) -> None:
    cell = "%%gpu --bg=long\nfrom IPython.display import display\nfor n in range(5): print(n)\ndisplay({'n': 5})\nfound = n\n'end'"
    kernel.run(cell)
    shown = kernel.run("%gpu attach long")
    assert [o.get("text") or o["data"]["text/plain"] for o in users(shown)] == ["0\n1\n2\n3\n4\n", "{'n': 5}", "'end'"]
    assert value(kernel, "found") == 4


@pytest.fixture
def restarted(home: Path) -> Iterator[tuple[LiveKernel, str]]:
    """A kernel that was restarted while its run went on."""
    with kernel_in(home) as kernel:
        kernel.run("%%gpu\nkept_there = 'still'")
        kernel.run("%%gpu --bg=survivor\nimport time\nfor n in range(30): print(n, flush=True); time.sleep(0.02)\nresult = n")
        run_id = value(kernel, "survivor.run_id")
        kernel.manager.restart_kernel(now=True)
        kernel.client.wait_for_ready(timeout=30)
        kernel.run("%load_ext warmcell")
        yield kernel, run_id


def test_a_run_outlives_its_kernel_and_can_be_attached_to(restarted: tuple[LiveKernel, str]) -> None:
    kernel, run_id = restarted
    assert run_id in kernel.run("%gpu ps").result
    shown = kernel.run(f"%gpu attach {run_id[:6]}")
    assert shown.text() == "".join(f"{n}\n" for n in range(30))
    assert value(kernel, "result") == 29
    assert kernel.run("%%gpu\nkept_there").result == "'still'"


def test_a_timeout_ends_the_run(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu --timeout 0.2\nimport time\nwhile True: time.sleep(0.01)")
    assert shown.error["ename"] == "RunTimeout"
    assert receipt(shown)["status"] == "timeout"


def test_a_killed_worker_is_said_and_the_next_cell_works(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\nprint('before')\nimport os\nos.kill(os.getpid(), 9)")
    assert (shown.text(), shown.error["ename"]) == ("before\n", "WorkerDied")
    assert "SIGKILL" in shown.error["evalue"]
    assert kernel.run("%%gpu\n1 + 1").result == "2"


def test_a_stdout_that_cannot_be_written_ends_the_cell_and_its_run(kernel: LiveKernel) -> None:
    kernel.run("import io, sys; real, closed = sys.stdout, io.StringIO(); closed.close()")
    body = "import time\\nprint(1, flush=True)\\nwhile True: time.sleep(0.01)"
    shown = kernel.run(f"sys.stdout = closed\ntry: get_ipython().run_cell_magic('gpu', '-q', '{body}')\nfinally: sys.stdout = real")
    assert shown.error["ename"] == "ValueError"
    assert kernel.run("%%gpu\n1 + 1").result == "2"


def test_replaying_a_run_that_lost_its_memory_loses_nothing_again(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\nimport os; os.kill(os.getpid(), 9)")
    kernel.run("%%gpu --keep spared\nspared = [1]")
    replayed = kernel.run(f"%gpu attach {receipt(shown)['run_id']}")
    assert replayed.error["ename"] == "WorkerDied"
    assert kernel.run("%%gpu\nspared[0]").result == "1"
