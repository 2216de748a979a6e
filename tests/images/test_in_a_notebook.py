"""Images as a notebook uses them: chosen, built with a log, extended while a session runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.wheels import wheel
from tests.kernels import LiveKernel, Shown, live_kernel


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKernel]:
    with live_kernel(tmp_path_factory.mktemp("home")) as kernel:
        kernel.run("from warmcell import Image\nslim = Image.debian_slim()")
        yield kernel


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("1.0", "2.0"):
        wheel(folder, "tiny_live", version)
    wheel(folder, "tiny_more")
    return folder


def pip(kernel: LiveKernel, wheels: Path, what: str) -> Shown:
    return kernel.run(f"%gpu pip install --no-index --no-deps --find-links {wheels} {what}")


def displays(shown: Shown) -> list[str]:
    return [o["data"].get("text/plain", "") for o in shown.outputs if o["type"] in ("display_data", "update_display_data")]


def test_a_build_shows_its_log_as_display_data_and_ends_in_one_line(kernel: LiveKernel) -> None:
    kernel.run("shown = slim.env({'A': '1'}).run_commands('echo a line of the log; sleep 0.5; echo another')")
    built = kernel.run("%gpu use --image shown")
    assert not built.traceback and built.text() == built.text("stderr") == ""
    texts = displays(built)
    assert any("step 2/2 run echo" in text and "a line of the log" in text for text in texts)
    assert texts[-1].startswith("image shown ") and "built in" in texts[-1]
    assert len({o["transient"].get("display_id") for o in built.outputs if "transient" in o and "data" in o and o["transient"]}) == 1
    assert "shown (" in built.result and "python 3." in built.result


def test_what_was_built_says_nothing_more(kernel: LiveKernel) -> None:
    kernel.run("%gpu use --image shown")
    assert displays(kernel.run("%gpu use --image shown")) == []


def test_cells_run_in_the_image_and_one_cell_in_another(kernel: LiveKernel) -> None:
    kernel.run("marked = slim.env({'MARK': 'of the image'})")
    kernel.run("%gpu use --image none")
    plain = "%%gpu\nimport os\nprint(os.environ.get('MARK'))"
    assert kernel.run(plain).text() == "None\n"
    assert kernel.run(plain.replace("%%gpu", "%%gpu --image marked")).text() == "of the image\n"
    assert kernel.run(plain).text() == "None\n"
    kernel.run("%gpu use --image marked")
    assert kernel.run(plain).text() == "of the image\n"


def test_a_session_gets_what_only_adds_and_keeps_its_names(kernel: LiveKernel, wheels: Path) -> None:
    kernel.run("%gpu use --image none --session growing")
    kernel.run("%%gpu\nkept = 41")
    shown = pip(kernel, wheels, "tiny_live==1.0")
    assert "tiny-live 1.0" in shown.result and "has it now" in shown.result
    assert kernel.run("%%gpu\nimport tiny_live\nprint(tiny_live.VERSION, kept + 1)").text() == "1.0 42\n"
    changed = pip(kernel, wheels, "tiny_live==2.0")
    assert "tiny-live 1.0 -> 2.0" in changed.result and "goes on without it" in changed.result
    assert kernel.run("%%gpu\nprint(tiny_live.VERSION, kept)").text() == "1.0 41\n"
    kernel.run("%gpu stop")
    assert kernel.run("%%gpu\nimport tiny_live\nprint(tiny_live.VERSION)").text() == "2.0\n"
    kernel.run("%gpu stop\n%gpu use --image none --session after")


def test_a_step_that_fails_stops_the_notebook_with_its_last_lines(kernel: LiveKernel) -> None:
    kernel.run("bad = slim.run_commands('echo the reason; exit 3')")
    shown = kernel.run("%gpu use --image bad")
    assert shown.error["ename"] == "ImageError" and "exit code 3" in shown.error["evalue"]
    assert "the reason\nhint: " in shown.error["evalue"]


def test_a_requirements_file_is_an_image(kernel: LiveKernel, wheels: Path, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(f"--no-index\n--find-links {wheels}\ntiny_more\n")
    shown = kernel.run(f"%gpu use --image {tmp_path}/requirements.txt")
    assert "tiny-more 1.0" in displays(shown)[-1], shown.traceback
    kernel.run("%gpu use --image none")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("use --image nosuch", "no variable of this notebook"),
        ("use --image wrong", "`wrong` is an int"),
        ("use --image python:3.11", "cannot begin with python:3.11"),
        ("use --image debs", "Debian packages ffmpeg"),
        ("pip list", "`%gpu pip list` is not there"),
        ("pip install", "names no package"),
        ("pip install -e .", "`-e` has no place in an image"),
    ],
)
def test_what_cannot_be_is_an_error_with_a_hint(kernel: LiveKernel, line: str, what: str) -> None:
    kernel.run("wrong = 3\ndebs = slim.apt_install('ffmpeg')")
    shown = kernel.run(f"%gpu {line}")
    assert what in shown.error["evalue"] and "hint: " in shown.error["evalue"]


def test_an_interrupt_cancels_the_build(kernel: LiveKernel, tmp_path: Path) -> None:
    kernel.run(f"slow = slim.run_commands('echo $$ > {tmp_path}/pid; sleep 64')")
    request = kernel.start("%gpu use --image slow")
    from kernel_proxy.statedir import start_ticks
    from tests.worker.keeper.link import until

    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    kernel.manager.interrupt_kernel()
    assert kernel.finish(request).error["ename"] == "KeyboardInterrupt"
    until(lambda: start_ticks(int((tmp_path / "pid").read_text())) is None)
    assert kernel.run("%%gpu\nprint('after')").text() == "after\n"
