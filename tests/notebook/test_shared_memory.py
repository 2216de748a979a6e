"""Large values of real cells go through shared memory where both ends can map it, and as data frames where not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remote_runtime.wire import memory
from tests.kernels import LiveKernel
from tests.notebook.conftest import code, kernel_in, receipt

BYTES = 20 << 20
PREPARE = f"""
import gc
import numpy as np
from jupyter_ext import connection
from kernel_proxy.stream import Attachment
from remote_runtime.wire import frames

streamed = 0

def counted(frame, was=frames.is_data):
    global streamed
    streamed += len(frame) * was(frame)
    return was(frame)

frames.is_data = counted
x = np.arange({BYTES}, dtype=np.uint8)
sharing = lambda: [o._outgoing.sharing for o in gc.get_objects() if isinstance(o, Attachment) and o._outgoing][0]
"""
THERE_AND_BACK = "%%gpu -o y\ny = 255 - x\ny[0] = 7"
EQUAL = "print(np.array_equal(y[1:], 255 - x[1:]), y[0], y.flags.writeable)"


@pytest.fixture
def kernel(home: Path) -> Iterator[LiveKernel]:
    with kernel_in(home) as started:
        started.run(PREPARE)
        yield started


@contextmanager
def two_kernels(home: Path, transport: str = "auto") -> Iterator[tuple[LiveKernel, LiveKernel]]:
    """Two notebooks of one session, the second one by the given transport."""
    shared = {"WARMCELL_SESSION": "shared"}
    with kernel_in(home, **shared) as one, kernel_in(home, **shared, WARMCELL_TRANSPORT=transport) as other:
        try:
            yield one, other
        finally:
            other.run("%gpu stop")


def printed(kernel: LiveKernel, source: str) -> str:
    shown = kernel.run(source)
    assert shown.status == "ok", shown.traceback
    return shown.text()


def test_an_array_goes_and_comes_back_with_nothing_of_it_on_the_stream(kernel: LiveKernel) -> None:
    printed(kernel, THERE_AND_BACK)
    assert printed(kernel, EQUAL) == "True 7 True\n"
    counts = printed(kernel, "print(streamed, sharing().arena.stats.block_count, sharing().reader.lent_count)")
    assert counts == "0 1 1\n"


def test_fifty_of_them_settle_in_the_same_segments(kernel: LiveKernel) -> None:
    source = """
        for i in range({count}):
            x = np.full({size}, i, dtype=np.uint8)
            get_ipython().run_cell_magic("gpu", "-o y", "y = x + 1; y[0] = 9")
            assert y[0] == 9 and (y[1:] == i + 1).all()
        print(sharing().arena.stats.segment_count, sharing().reader.segment_count)
    """
    printed(kernel, code(source.format(count=20, size=BYTES)))
    settled = printed(kernel, code(source.format(count=5, size=BYTES)))
    assert printed(kernel, code(source.format(count=50, size=BYTES))) == settled


@pytest.mark.parametrize("variable", [{"WARMCELL_TRANSPORT": "grpc"}, {"WARMCELL_ARENA_BYTES": "0"}])
def test_without_shared_memory_the_values_are_the_same(home: Path, variable: dict[str, str]) -> None:
    with kernel_in(home, **variable) as kernel:
        kernel.run(PREPARE)
        printed(kernel, THERE_AND_BACK)
        assert printed(kernel, EQUAL) == "True 7 True\n"
        assert printed(kernel, "print(sharing() is None, streamed > 0)") == "True True\n"


@pytest.mark.parametrize("transport", ["auto", "grpc"])
def test_two_notebooks_of_one_session_have_memory_of_their_own(home: Path, transport: str) -> None:
    with two_kernels(home, transport) as (one, other):
        for kernel in (one, other, one, other):
            kernel.run(PREPARE)
            printed(kernel, THERE_AND_BACK.replace("-o y", "-i x -o y"))
            assert printed(kernel, EQUAL) == "True 7 True\n"
            printed(kernel, "y[:] = 1; del y")


@pytest.mark.parametrize("transport", ["auto", "grpc"])
def test_a_run_is_replayed_with_its_values(home: Path, transport: str) -> None:
    with two_kernels(home, transport) as (one, other):
        one.run(PREPARE)
        run_id = receipt(one.run(THERE_AND_BACK))["run_id"]
        printed(one, "y[:] = 1")
        other.run(PREPARE)
        printed(other, "%%gpu\npass")
        for kernel in (other, one, one, other):
            printed(kernel, f"%gpu attach {run_id}")
        mapped, streamed = "sharing() and sharing().reader.segment_count", f"streamed // {BYTES}"
        assert printed(one, EQUAL) == "True 7 True\n"
        assert printed(one, f"print({streamed} > 0)") == "True\n"  # it holds those blocks, and gets a copy of its own
        # The first time it is mapped; what is bound to `y` holds those blocks, so the second time gets a copy of its own.
        assert printed(other, f"print({mapped}, {streamed})") == ("1 1\n" if transport == "auto" else "None 2\n")
        assert printed(other, EQUAL) == "True 7 True\n"


def test_values_outlive_the_user_process_and_the_next_one_gets_its_own(kernel: LiveKernel) -> None:
    printed(kernel, THERE_AND_BACK)
    os.kill(int(printed(kernel, "%%gpu\nimport os; print(os.getpid())")), signal.SIGKILL)
    assert printed(kernel, EQUAL) == "True 7 True\n"
    kernel.run("%%gpu\npass")
    for _ in range(3):
        printed(kernel, THERE_AND_BACK)
        assert printed(kernel, EQUAL) == "True 7 True\n"


def test_a_killed_kernel_leaves_a_session_that_serves_the_next(home: Path) -> None:
    with two_kernels(home) as (first, second):
        first.run(PREPARE)
        printed(first, "%%gpu -o y\ny = x + 1; z = x")
        os.kill(int(printed(first, "import os; print(os.getpid())")), signal.SIGKILL)
        second.run(PREPARE)
        printed(second, "%%gpu -o w\nw = z.copy(); w[0] = w.sum() % 251; y = None")
        assert printed(second, "print((w[1:] == x[1:]).all(), w[0] == x.sum() % 251)") == "True True\n"


def test_a_full_arena_falls_back_with_one_notice(home: Path) -> None:
    with kernel_in(home, WARMCELL_ARENA_BYTES=str(1 << 20)) as kernel:
        kernel.run(PREPARE)
        notices = []
        for _ in range(3):
            shown = kernel.run(THERE_AND_BACK)
            notices += [output for output in shown.outputs if "travel by the stream" in str(output)]
            assert printed(kernel, EQUAL) == "True 7 True\n"
        assert len(notices) == 1


def test_results_that_find_no_room_there_come_with_one_notice(home: Path) -> None:
    with kernel_in(home, WARMCELL_ARENA_BYTES=str(1 << 20)) as kernel:
        kernel.run(PREPARE)
        told = []
        for _ in range(3):
            shown = kernel.run("%%gpu -o z\nimport numpy\nz = numpy.ones(5 << 20)")
            told += [output for output in shown.outputs if "large results come by the stream" in str(output)]
        assert len(told) == 1 and printed(kernel, "print(z.sum())") == f"{5 << 20}.0\n"


COUNTING = """
%%gpu
import collections
from remote_runtime.wire import bulk
hashed, was = collections.Counter(), bulk.xxhash.xxh3_128_digest
def counted(content):
    hashed[len(content) >> 20 > 0] += 1
    return was(content)
bulk.xxhash.xxh3_128_digest = counted
"""


@pytest.mark.skipif(not Path(memory.PAGE_TABLE).exists(), reason="the system does not tell which pages were written to")
def test_the_session_hashes_what_a_cell_has_written_to_and_nothing_else(kernel: LiveKernel) -> None:
    printed(kernel, COUNTING.strip())
    hashed = "%%gpu\nprint(hashed[True]); hashed.clear()"
    printed(kernel, "%%gpu\ns = int(x.sum())")
    printed(kernel, "%%gpu\ns = int(x[::4096].sum())")
    assert printed(kernel, hashed) == "0\n"
    printed(kernel, "%%gpu\nx[5] = 99")
    assert printed(kernel, "print(x[5], x[4], x[6])") == "99 4 6\n"
    assert int(printed(kernel, hashed)) > 0


def test_an_array_that_came_back_is_sent_no_more_until_it_changes(kernel: LiveKernel) -> None:
    printed(kernel, THERE_AND_BACK)
    assert receipt(kernel.run("%%gpu\ns = int(y[1])"))["sent"] == []
    printed(kernel, "y[1] = 3")
    shown = kernel.run("%%gpu\nprint(y[1])")
    assert (shown.text(), receipt(shown)["sent"]) == ("3\n", ["y"])
