"""The road of a cell into a real container: what a cell shows, gives back, takes along, and how it is stopped."""

from __future__ import annotations

from pathlib import Path

from tests.containers.conftest import remote
from tests.kernels import LiveKernel


def test_a_cell_runs_in_a_container_with_its_own_code_and_comes_back(kernel: LiveKernel) -> None:
    kernel.run("k = 20")
    shown = kernel.run("%%gpu\nimport os, sys, remote_runtime\nprint('out'); print('err', file=sys.stderr)\ny = k + 22\nos.getpid(), remote_runtime.__file__")
    assert (shown.text(), shown.text("stderr")) == ("out\n", "err\n")
    assert shown.result.endswith("'/opt/warmcell/remote_runtime/__init__.py')")
    assert kernel.run("y").result == "42"


def test_an_error_is_the_user_s_own_at_the_line_of_the_cell(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\na = 1\n1 / 0")
    assert shown.error["ename"] == "ZeroDivisionError"
    assert "----> 3 1 / 0" in shown.traceback or "----> 2 1 / 0" in shown.traceback
    assert kernel.run("a").result == "1"


def test_a_large_array_travels_through_shared_memory_both_ways(kernel: LiveKernel) -> None:
    kernel.run("import numpy as np\nbig = np.arange(5_000_000.)")
    found = remote(
        kernel,
        "total = big.sum()",
        "address = big.__array_interface__['data'][0]",
        "for line in open('/proc/self/maps'):",
        "    start, end = (int(x, 16) for x in line.split()[0].split('-'))",
        "    if start <= address < end: print(line.split()[-2])",
    )
    assert found.strip().startswith("/memfd:warmcell")
    assert kernel.run("total == big.sum()").result == "np.True_"
    remote(kernel, "doubled = big[:500_000] * 2")
    assert kernel.run("doubled.sum() == (big[:500_000] * 2).sum()").result == "np.True_"


def test_an_interrupt_reaches_the_line_in_the_container(kernel: LiveKernel) -> None:
    request = kernel.start("%%gpu\nimport time\nkept = 1\nprint('go', flush=True)\ntime.sleep(60)")
    kernel.wait_for(lambda m: m["content"].get("text") == "go\n")
    kernel.manager.interrupt_kernel()
    assert kernel.finish(request).error["ename"] == "KeyboardInterrupt"
    assert remote(kernel, "print(kept)") == "1\n"


def test_code_that_kills_its_process_is_told_and_the_session_goes_on(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\nprint('last words', flush=True)\nimport os; os.kill(os.getpid(), 9)")
    assert shown.text() == "last words\n"
    assert "was killed by SIGKILL" in shown.traceback
    assert remote(kernel, "print('here')") == "here\n"


def test_files_go_there_and_back_and_are_the_session_s(kernel: LiveKernel, home: Path, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("from here")
    kernel.run(f"%gpu upload {tmp_path}/in.txt")
    remote(kernel, "open('out.txt', 'w').write(open('in.txt').read() + ' and back')")
    kernel.run(f"%gpu download out.txt {tmp_path}/out.txt")
    assert (tmp_path / "out.txt").read_text() == "from here and back"


def test_a_question_is_asked_in_the_notebook(kernel: LiveKernel) -> None:
    request = kernel.start("%%gpu\nprint('hello', input('name? '))")
    assert kernel.asked()["prompt"] == "name? "
    kernel.answer("Ada")
    assert kernel.finish(request).text() == "hello Ada\n"


def test_a_slider_of_a_container_calls_back_there(kernel: LiveKernel) -> None:
    lines = "import ipywidgets\ns = ipywidgets.IntSlider()\ns.observe(lambda c: print('moved to', c['new']), 'value')\ndisplay(s)"
    shown = kernel.run(f"%%gpu\n{lines}")
    (comm_id,) = [
        o["comm_id"] for o in shown.outputs
        if o["type"] == "comm_open" and o["data"]["state"].get("_model_name") == "IntSliderModel"
    ]  # fmt: skip
    kernel.send_comm(comm_id, {"method": "update", "state": {"value": 7}, "buffer_paths": []})
    kinds = ("display_data", "update_display_data")
    kernel.wait_for(lambda m: m["msg_type"] in kinds and "moved to 7" in m["content"]["data"].get("text/plain", ""))


def test_two_sessions_have_their_own_files_and_processes(kernel: LiveKernel) -> None:
    remote(kernel, "open('mine.txt', 'w').write('1')")
    kernel.run("%gpu use cpu --session neighbour")
    assert remote(kernel, "import os", "print(os.path.exists('mine.txt'), os.listdir('/session'))").startswith("False")
    kernel.run("%gpu use cpu")
