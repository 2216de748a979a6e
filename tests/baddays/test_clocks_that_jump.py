"""The wall clock jumps by days in every process at once, forwards and back: nothing is lost, ended, forgotten or reordered."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernel_proxy.runtime import connect
from kernel_proxy.settings import load_settings
from tests.kernels import LiveKernel, live_kernel, play
from tests.notebook.conftest import kernel_in, notices, receipt

DAYS_S = 10 * 86400
JUMPING = Path(__file__).parent / "jumping"
Jump = Callable[[float], None]


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clock") / "offset"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def environment(clock: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(JUMPING), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path, "JUMPING_CLOCK": str(clock)}


@pytest.fixture(scope="module")
def kernel(home: Path, environment: dict[str, str]) -> Iterator[LiveKernel]:
    with live_kernel(home, **environment) as live:
        yield live


@pytest.fixture
def jump(clock: Path) -> Iterator[Jump]:
    clock.write_text("0")
    yield lambda seconds: clock.write_text(str(seconds)) and None
    clock.write_text("0")


def ticked(home: Path) -> None:
    """Wait until gateway and keepers have looked after what time changes, several times."""
    runtime = connect(load_settings({"home": str(home)}, environment={}), start=False)
    try:
        before = {s.session_id: s.idle_s for s in runtime.describe().sessions}
        until(lambda: all(s.idle_s > before.get(s.session_id, 0.0) + 1.0 or s.state == "running" for s in runtime.describe().sessions))
        assert before.keys() <= {s.session_id for s in runtime.describe().sessions}
    finally:
        runtime.close()


def until(holds: Callable[[], bool], limit_s: float = 30) -> None:
    ends_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < ends_s
        time.sleep(0.05)


def test_the_clock_jumps_in_kernel_and_worker(kernel: LiveKernel, jump: Jump) -> None:
    source = "import time\nprint(int(time.time() // 86400))"
    today = int(play(kernel, source).text())
    jump(DAYS_S)
    assert int(play(kernel, source).text()) == int(play(kernel, f"G {source}").text()) == today + 10


@pytest.mark.parametrize("offsets", [(DAYS_S, 2 * DAYS_S), (-DAYS_S, -2 * DAYS_S), (DAYS_S, -DAYS_S)], ids=["on", "back", "to and fro"])
def test_names_stay_what_they_are_at_both_ends(kernel: LiveKernel, home: Path, jump: Jump, offsets: tuple[float, ...]) -> None:
    play(kernel, "x = [0]; y = x", "G x.append(1)", "%%gpu cpu --keep h\nh = [7]")
    for count, offset in enumerate(offsets):
        jump(offset)
        ticked(home)
        shown = play(kernel, f"x.append('here {count}')", f"G x.append('there {count}')\nprint(h)")
        assert shown.text() == "[7]\n" and notices(shown) == []
        assert receipt(shown)["sent"] == ["x"] and receipt(shown)["total_s"] < DAYS_S
    expected = [0, 1, *(f"{where} {n}" for n in range(len(offsets)) for where in ("here", "there"))]
    assert play(kernel, "print(x == y == " + repr(expected) + ", x is y)").text() == "True True\n"


@pytest.mark.parametrize("offset", [DAYS_S, -DAYS_S], ids=["on", "back"])
def test_runs_are_kept_and_told_in_their_order(kernel: LiveKernel, home: Path, jump: Jump, offset: float) -> None:
    first = receipt(play(kernel, "G print('first')"))["run_id"]
    jump(offset)
    second = receipt(play(kernel, "G print('second')"))["run_id"]
    ticked(home)
    table = play(kernel, "%gpu ps").result
    assert 0 < table.index(first) < table.index(second)
    rows = [line for line in table.splitlines() if first in line or second in line]
    assert not any(unit in row for row in rows for unit in (" d", " h", "days")), rows
    assert "first" in play(kernel, f"%gpu attach {first}").text()


@pytest.mark.parametrize("offset", [DAYS_S, -DAYS_S], ids=["on", "back"])
def test_a_run_and_its_timeout_take_no_notice(kernel: LiveKernel, home: Path, jump: Jump, tmp_path: Path, offset: float) -> None:
    gate = tmp_path / "gate"
    play(kernel, f"%%gpu cpu --bg=job --timeout 10m\nimport os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\nz = 5")
    jump(offset)
    ticked(home)
    assert "running" in play(kernel, "job").result
    gate.touch()
    assert play(kernel, "job.result()\nprint(z)").text() == "5\n"


@pytest.mark.parametrize("offset", [DAYS_S, -DAYS_S], ids=["on", "back"])
def test_who_waits_keeps_the_place(home: Path, environment: dict[str, str], kernel: LiveKernel, jump: Jump, offset: float) -> None:
    """Sessions of two notebooks wait for the one device; the clock jumps between their arrivals."""
    play(kernel, "G import os; print(os.getpid())")
    with kernel_in(home, **environment) as second:
        jump(offset)
        assert second.run("%%gpu cpu\nprint('too')").text() == "too\n"
        assert play(kernel, "G print('still')").text() == "still\n"
