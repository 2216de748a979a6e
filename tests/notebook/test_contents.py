"""What a session has seen is not sent again: other names, other notebooks, a restarted kernel, a value that is gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernels import LiveKernel, Shown
from tests.notebook.conftest import code, kernel_in, receipt

BYTES = 4 << 20
LANE, GRPC, SHARED = {"WARMCELL_ARENA_BYTES": "0"}, {"WARMCELL_TRANSPORT": "grpc"}, {}
ROADS = pytest.mark.parametrize("road", [SHARED, LANE, GRPC], ids=["shared", "lane", "grpc"])
STREAMS = pytest.mark.parametrize("road", [LANE, GRPC], ids=["lane", "grpc"])
MAKE = f"import numpy as np; x = np.random.default_rng(7).integers(0, 256, {BYTES}, dtype=np.uint8)"
READ = "%%gpu\nread = int(x[::4096].sum())"
STOCK = """
import gc
from kernel_proxy.exchange import Exchange
stock = [o.stock for o in gc.get_objects() if isinstance(o, Exchange) and o.lost is None][0]
"""
STALE = STOCK + "before = stock.all()\n{forget}\nstock.begin(before)"
HEARD = f"{STOCK}import time\nwhile not stock.has_size({BYTES}): time.sleep(0.01)"
"""Nothing is there that tells a cell when its kernel has heard of what another one did."""


def ran(kernel: LiveKernel, source: str) -> Shown:
    shown = kernel.run(code(source))
    assert shown.status == "ok", shown.traceback
    return shown


def moved(kernel: LiveKernel, cell: str) -> tuple[int, int]:
    """Run a cell; return how much was sent and how much was there, in whole parts."""
    facts = receipt(ran(kernel, cell))
    return facts["sent_bytes"] // BYTES, facts["reused_bytes"] // BYTES


def is_equal(kernel: LiveKernel) -> bool:
    return ran(kernel, "print(read == int(x[::4096].sum()))").text() == "True\n"


@pytest.fixture
def started(home: Path, road: dict[str, str]) -> Iterator[LiveKernel]:
    """A kernel whose session has just read `x`."""
    with kernel_in(home, **road) as kernel:
        ran(kernel, MAKE)
        assert moved(kernel, READ) == (1, 0)
        yield kernel


@contextmanager
def notebooks(home: Path, road: dict[str, str]) -> Iterator[tuple[LiveKernel, LiveKernel]]:
    shared = {"WARMCELL_SESSION": "contents", **road}
    with kernel_in(home, **shared) as one, kernel_in(home, **shared) as other:
        try:
            yield one, other
        finally:
            other.run("%gpu stop")


@ROADS
def test_a_copy_under_another_name_is_not_sent_and_is_no_alias(started: LiveKernel) -> None:
    ran(started, "y = x.copy()")
    assert moved(started, "%%gpu\ny[:10] = 1\nsame = bool((x[:10] == 1).all())") == (0, 1)
    ran(started, "assert not same and (y[:10] == 1).all() and (y[10:] == x[10:]).all() and (x[:10] != 1).any()")
    ran(started, "%%gpu\nx[:] = 3\nassert (y[:10] == 1).all() and (y[10:] != 3).any()")


@ROADS
def test_a_restarted_kernel_finds_what_the_one_before_has_sent(home: Path, road: dict[str, str]) -> None:
    with notebooks(home, road) as (one, other):
        ran(one, MAKE)
        assert moved(one, READ) == (1, 0)
        os.kill(int(ran(one, "import os; print(os.getpid())").text()), signal.SIGKILL)
        ran(other, MAKE)
        assert moved(other, READ.replace("%%gpu", "%%gpu -i x")) == (0, 1) and is_equal(other)
        assert moved(other, "%%gpu\nx[0] += 1\nread = int(x[::4096].sum())") == (0, 0) and is_equal(other)


@ROADS
def test_a_notebook_that_is_there_already_hears_what_another_one_sends(home: Path, road: dict[str, str]) -> None:
    with notebooks(home, road) as (one, other):
        for kernel in (one, other):
            ran(kernel, MAKE)
            ran(kernel, "%%gpu\n1")
        assert moved(one, READ) == (1, 0)
        ran(other, HEARD)
        assert moved(other, "%%gpu -i z=x\nread = int(z[::4096].sum())") == (0, 1) and is_equal(other)


@STREAMS
def test_what_was_removed_there_is_not_sent_again(started: LiveKernel) -> None:
    ran(started, "%gpu rm x")
    assert moved(started, READ) == (0, 1) and is_equal(started)


@pytest.mark.parametrize("road", [SHARED])
def test_shared_memory_is_not_kept_for_a_value_that_is_gone(started: LiveKernel) -> None:
    ran(started, "%gpu rm x")
    assert moved(started, READ) == (1, 0) and is_equal(started)


@STREAMS
def test_a_name_that_goes_to_and_fro_is_sent_once_for_each_value(started: LiveKernel) -> None:
    ran(started, "a, b = x, x[::-1].copy()")
    sent = []
    for name in "babab":
        ran(started, f"x = {name}.copy()")
        sent.append(moved(started, READ))
        assert is_equal(started)
    assert sent == [(1, 0)] + [(0, 1)] * 4


@STREAMS
def test_a_value_that_was_changed_there_is_sent_again(started: LiveKernel) -> None:
    ran(started, "y = x.copy()")
    ran(started, "%%gpu\nx[0] += 1")
    assert moved(started, "%%gpu\nread = int(y[::4096].sum())") == (1, 0)
    ran(started, "x = y")
    assert is_equal(started)


@ROADS
def test_fresh_ships_everything(started: LiveKernel) -> None:
    assert moved(started, READ.replace("%%gpu", "%%gpu --fresh")) == (1, 0)
    assert is_equal(started)


@pytest.mark.parametrize("forget", ["%gpu rm x\n%gpu free", "%gpu free"], ids=["gone", "alive"])
@ROADS
def test_what_is_evicted_before_it_is_used_is_sent_after_all(started: LiveKernel, forget: str) -> None:
    ran(started, STALE.format(forget=forget))
    ran(started, "x = x.copy()")
    cell = READ.replace("%%gpu", "%%gpu -i x") + "\nprint('once')"
    shown = ran(started, cell)
    assert receipt(shown)["sent_bytes"] >= BYTES and receipt(shown)["reused_bytes"] == 0
    assert shown.text() == "once\n" and is_equal(started)
    ran(started, "y = x.copy()")
    assert moved(started, "%%gpu\ny[0]") == (0, 1)


@ROADS
def test_a_background_run_and_a_put_are_sent_after_all_too(started: LiveKernel) -> None:
    ran(started, STALE.format(forget="%gpu free"))
    ran(started, "y = x.copy()")
    ran(started, "%%gpu --bg=job\nread = int(y[::4096].sum())")
    ran(started, "job.result()")
    assert is_equal(started)
    ran(started, STALE.format(forget="%gpu free"))
    ran(started, "z = x.copy()\n%gpu put z")
    ran(started, "%%gpu\nread = int(z[::4096].sum())")
    assert is_equal(started)


@ROADS
def test_a_new_user_process_has_nothing(started: LiveKernel) -> None:
    shown = started.run("%%gpu\nimport os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert shown.status == "error"
    assert moved(started, READ) == (1, 0) and is_equal(started)


KINDS = {
    "bytes": "x.tobytes()",
    "text": "'x' * x.size",
    "bytearray": "bytearray(x)",
    "Fortran order": "np.asfortranarray(x.reshape(2048, -1))",
    "a view with gaps": "np.repeat(x, 2)[::2]",
    "several in one": "{'a': x.copy(), 'b': [x.copy(), x.tobytes()]}",
    "a frame": "pandas.DataFrame({'a': x, 'b': x.astype(float)})",
    "a tensor": "torch.from_numpy(x.copy())",
    "read only": "np.frombuffer(x.tobytes(), dtype=np.uint8)",
}


@pytest.mark.parametrize("road", [SHARED, LANE], ids=["shared", "lane"])
def test_all_kinds_of_large_values(home: Path, road: dict[str, str]) -> None:
    with kernel_in(home, **road) as kernel:
        ran(kernel, f"import pandas, torch, pickle\n{MAKE}")
        for kind, made in KINDS.items():
            ran(kernel, f"make = lambda: {made}\none = make()")
            ran(kernel, "%%gpu\none is None")
            ran(kernel, "other = make()")
            assert moved(kernel, "%%gpu -o back\nback = other")[0] == 0 or (road is SHARED and kind == "a frame"), kind
            ran(kernel, "assert type(back) is type(other) and pickle.dumps(back) == pickle.dumps(other)")


def test_nothing_is_kept_where_the_setting_says_so(tmp_path: Path) -> None:
    with kernel_in(tmp_path, **LANE, WARMCELL_CACHE_BYTES="0") as kernel:
        ran(kernel, MAKE)
        ran(kernel, READ)
        ran(kernel, "y = x.copy()")
        assert moved(kernel, "%%gpu\ny[0]") == (0, 1)
        ran(kernel, "%gpu rm x\n%gpu rm y")
        assert moved(kernel, READ) == (1, 0) and is_equal(kernel)
        kernel.run("%gpu stop\nimport subprocess, sys; subprocess.run([sys.executable, '-m', 'warmcell', 'down'])")


@pytest.mark.parametrize("road", [LANE])
def test_what_is_kept_is_told_and_given_back(started: LiveKernel) -> None:
    ran(started, "%gpu rm x")
    assert "kept of what was sent 4.2 MB of at most" in str(ran(started, "%gpu env").outputs)
    assert "4.0 MiB were kept of what was sent" in str(ran(started, "%gpu free").outputs)
    assert "kept of what was sent 0 B of at most" in str(ran(started, "%gpu env").outputs)
    assert moved(started, READ) == (1, 0) and is_equal(started)


@pytest.mark.parametrize("road", [SHARED])
def test_the_receipt_tells_it(started: LiveKernel) -> None:
    ran(started, "y = x.copy()")
    assert "(+ 4.2 MB reused)" in str(ran(started, "%%gpu\ny[0]").outputs)
