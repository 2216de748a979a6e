"""The cell suite: the same work on the floors, the peers and us, one after another on a quiet machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from benchmarks import floors, lifecycle
from benchmarks.kernel import Kernel, kernel
from benchmarks.peers import PEERS, WARMCELL, Peer
from benchmarks.timing import spread

MIB_100 = 100 * 1024 * 1024
PREPARE = "import numpy as np\nx = 1\nbig = np.ones(100 * 1024 * 1024, dtype=np.uint8)"
PRINTING = "for i in range(100_000): print(i)"

Say = Callable[[str], None]


@contextmanager
def private_home() -> Iterator[None]:
    """Give every run its own runtime, so that a developer's own one is neither used nor stopped."""
    with tempfile.TemporaryDirectory() as home:
        before = os.environ.get("WARMCELL_HOME")
        os.environ["WARMCELL_HOME"] = home
        try:
            yield
        finally:
            lifecycle.down()
            os.environ.pop("WARMCELL_HOME")
            if before is not None:
                os.environ["WARMCELL_HOME"] = before


@contextmanager
def prepared(peer: Peer) -> Iterator[Kernel]:
    """A kernel with the variables and the peer set up, taken down afterwards."""
    with kernel() as cell:
        cell.run(PREPARE)
        cell.run(peer.setup)
        try:
            yield cell
        finally:
            if peer.teardown:
                cell.run(peer.teardown)


def trivial(scale: float, say: Say) -> dict:
    """One small variable in, one out; what each adds to the same cell run locally in the same kernel."""
    rows: dict[str, dict] = {}
    with floors.BareStream() as bare:
        rows["grpc stream"] = bare.round_trip(int(2000 * scale)).row()
    for name, peer in PEERS.items():
        say(f"trivial: {name}")
        with prepared(peer) as cell:
            count = max(20, int(300 * scale))
            cell.run(peer.trivial)
            theirs, local = _interleaved(cell, peer.trivial, PEERS["local cell"].trivial, count)
            rows[name] = spread(theirs).row()
            rows[name]["added_p50_ms"] = round(spread(theirs).p50_ms - spread(local).p50_ms, 3)
    return rows


def _interleaved(cell: Kernel, one: str, other: str, count: int) -> tuple[list[float], list[float]]:
    """Time two cells in turns, so that drift of the machine hits both alike."""
    ones, others = [], []
    for _ in range(count + 5):
        ones.append(cell.run(one).seconds)
        others.append(cell.run(other).seconds)
    return ones[5:], others[5:]


def printing(scale: float, say: Say) -> dict:
    """100,000 printed lines: none lost, and how long until the last is in the notebook."""
    rows = {}
    count = max(3, int(9 * scale))
    with prepared(WARMCELL) as cell:
        cell.run(WARMCELL.trivial)
        for name, code in (("local cell", PRINTING), ("warmcell", f"%%gpu cpu\n{PRINTING}")):
            say(f"printing: {name}")
            outcomes = [cell.run(code) for _ in range(count + 1)][1:]
            rows[name] = spread([o.seconds for o in outcomes]).row()
            rows[name]["lines_lost"] = 100_000 * count - sum(o.line_count for o in outcomes)
    rows["ratio_p50"] = round(rows["warmcell"]["p50_ms"] / rows["local cell"]["p50_ms"], 2)
    return rows


def bulk(scale: float, say: Say) -> dict:
    """100 MB in with one element of each page read there, and 100 MB back."""
    count = max(3, int(15 * scale))
    rows: dict[str, dict] = {"memcpy": floors.memcpy(MIB_100, count).row()}
    with floors.BareStream() as bare:
        rows["grpc stream, there and back"] = bare.bulk(MIB_100, count).row()
    for name, peer in PEERS.items():
        say(f"bulk: {name}")
        with prepared(peer) as cell:
            for direction, code in (("in", peer.upload), ("out", peer.download)):
                times_s = _anew(cell, code, count + 3)
                rows[f"{name} {direction}"] = spread(times_s[3:]).row()
                rows[f"{name} {direction}"]["first_ms"] = round(times_s[0] * 1e3, 1)
    return rows


def _anew(cell: Kernel, code: str, count: int) -> list[float]:
    """Time a cell that moves `big`, which is another array each time: made before, and not timed."""
    times_s = []
    for number in range(count):
        cell.run(f"big = np.full(100 * 1024 * 1024, {number + 2}, dtype=np.uint8)")
        times_s.append(cell.run(code).seconds)
    return times_s


def tcp(scale: float, say: Say) -> dict:
    """100 MB in from a kernel on what it takes for another machine, beside the same bytes on a bare stream of gRPC."""
    count = max(3, int(15 * scale))
    rows: dict[str, dict] = {}
    with floors.BareStream("Take", tcp=True) as bare:
        rows["grpc stream over TCP"] = bare.upload(memoryview(bytes(MIB_100)), count).row()
    say("tcp: warmcell")
    with prepared(replace(WARMCELL, setup=lifecycle.by_address() + WARMCELL.setup)) as cell:
        cell.run(WARMCELL.trivial)
        rows["trivial cell"] = spread(cell.times_s(WARMCELL.trivial, count)).row()
        rows["warmcell in"] = spread(_anew(cell, WARMCELL.upload or "", count + 3)[3:]).row()
    rows["ratio_p50"] = round(rows["grpc stream over TCP"]["p50_ms"] / rows["warmcell in"]["p50_ms"], 2)
    return rows


def unchanged(scale: float, say: Say) -> dict:
    """The same 100 MB array again, beside its hash; 1,000 small variables that did not change, beside a local cell."""
    say("unchanged")
    count = max(10, int(60 * scale))
    names = [f"v{i}" for i in range(1000)]
    makers = ("{i}", "'text {i}'", "[{i}, 2.5, 'a']", "{{'k': {i}}}")
    small = "\n".join(f"v{i} = {makers[i % 4].format(i=i)}" for i in range(1000))
    rows = {"hash of 100 MB": floors.hashing(MIB_100, count).row()}
    with prepared(WARMCELL) as cell:
        cell.run(WARMCELL.upload or "")
        rows["warmcell in, unchanged"] = spread(cell.times_s(WARMCELL.upload or "", count)).row()
        cell.run(small)
        read = f"n = len(({', '.join(names)}))"
        cell.run(f"%%gpu cpu\n{read}")
        theirs, local = _interleaved(cell, f"%%gpu cpu\n{read}", read, count)
        rows["1,000 variables"] = spread(theirs).row()
        rows["1,000 variables, local cell"] = spread(local).row()
        rows["1,000 variables"]["added_p50_ms"] = round(spread(theirs).p50_ms - spread(local).p50_ms, 3)
    return rows


MEASURES: Mapping[str, Callable[[float, Say], dict]] = {
    "trivial": trivial,
    "printing": printing,
    "claim": lifecycle.claim,
    "cold": lifecycle.cold,
    "import": lifecycle.importing,
    "idle": lifecycle.idle,
    "bulk": bulk,
    "unchanged": unchanged,
    "tcp": tcp,
}


def run(only: list[str] | None, scale: float, say: Say) -> dict[str, dict]:
    """Run the measures named, or all."""
    results = {}
    for name in only or MEASURES:
        with private_home():
            results[name] = MEASURES[name](scale, say)
    return results


def table(results: Mapping[str, Mapping]) -> str:
    """Draw the results as text."""
    lines = []
    for measure, rows in results.items():
        lines.append(f"{measure}")
        for name, row in rows.items():
            shown = "  ".join(f"{k} {v}" for k, v in row.items()) if isinstance(row, Mapping) else row
            lines.append(f"  {name:<28} {shown}")
    return "\n".join(lines)
