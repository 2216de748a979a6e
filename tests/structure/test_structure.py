"""The house keeps its shape: imports run one way, each library has one door, files and functions stay short."""

from __future__ import annotations

import graphlib
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.structure import code

WIRE = "remote_runtime.wire"

MAY_IMPORT = {
    "warmcell": {"warmcell", "jupyter_ext", "kernel_proxy", WIRE},
    "jupyter_ext": {"jupyter_ext", "kernel_proxy", WIRE},
    "kernel_proxy": {"kernel_proxy", WIRE},
    WIRE: {WIRE},
    "remote_runtime.gateway": {
        "remote_runtime.gateway", "remote_runtime.endpoints", "remote_runtime.pool", "remote_runtime.ledger",
        "remote_runtime.engines", WIRE,
    },
    "remote_runtime.pool": {"remote_runtime.pool", "remote_runtime.engines.base", WIRE},
    "remote_runtime.engines": {"remote_runtime.engines", WIRE},
    "remote_runtime.worker": {"remote_runtime.worker", WIRE},
}  # fmt: skip

DOORS = {
    "cloudpickle": {"remote_runtime.wire.payload", "remote_runtime.wire.reducers"},
    "grpc": {
        "kernel_proxy.channel", "remote_runtime.gateway.grpc_face", "remote_runtime.gateway.relay",
        "remote_runtime.worker.service",
    },
    "click": {"warmcell.cli"},
    "sqlite3": {"remote_runtime.gateway.store"},
    "comm": {"jupyter_ext.comms", "remote_runtime.worker.comms"},
    "starlette": {"remote_runtime.gateway.http_face"},
    "uvicorn": {"remote_runtime.gateway.http_face"},
    "xxhash": {"remote_runtime.wire.digests", "remote_runtime.wire.filedigest", "remote_runtime.wire.leaves"},
    "docker": {"remote_runtime.engines.docker_door"},
    "pynvml": {"remote_runtime.engines.nvml", "remote_runtime.worker.readings"},
}  # fmt: skip

HEAVY = ("numpy", "torch", "pandas", "matplotlib", "sklearn")
NEVER_UNPICKLE = ("remote_runtime.gateway", "remote_runtime.pool", "remote_runtime.endpoints", "remote_runtime.ledger")
FILE_LINES, FUNCTION_LINES, FUNCTION_P95_LINES, FUNCTION_MEDIAN_LINES = 350, 60, 35, 8


def within(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def room_of(module: str) -> str | None:
    rooms = [room for room in MAY_IMPORT if within(module, room)]
    return max(rooms, key=len, default=None)


@pytest.mark.parametrize("name", sorted(code.sources()))
def test_imports_run_one_way(name: str) -> None:
    room = room_of(name)
    if room is None:
        pytest.skip(f"{name} is the runtime's own package door")
    wrong = [
        f"line {i.line}: {i.module}"
        for i in code.imports(name)
        if room_of(i.module) and not any(within(i.module, allowed) for allowed in MAY_IMPORT[room])
    ]
    assert not wrong, f"{name} may import {sorted(MAY_IMPORT[room])}, and imports {wrong}"


@pytest.mark.parametrize("eager_only", [True, False], ids=["module level", "inside functions too"])
def test_no_import_cycle(eager_only: bool) -> None:
    graph = code.graph(eager_only)
    without_doors = {n: {t for t in found if not n.startswith(f"{t}.")} for n, found in graph.items()}
    graphlib.TopologicalSorter(without_doors).prepare()


@pytest.mark.parametrize("library", sorted(DOORS))
def test_each_library_has_one_door(library: str) -> None:
    users = {name for name in code.sources() for i in code.imports(name) if within(i.module, library)}
    assert users <= DOORS[library]


def test_heavy_libraries_are_never_imported_on_import() -> None:
    wrong = [(n, i.module) for n in code.sources() for i in code.imports(n) if i.eager and i.module.split(".")[0] in HEAVY]
    assert not wrong


def reachable(name: str, graph: dict[str, set[str]]) -> set[str]:
    seen, todo = set(), [name]
    while todo:
        at = todo.pop()
        if at not in seen:
            seen.add(at)
            todo += graph.get(at, ())
    return seen


def test_the_gateway_cannot_unpickle() -> None:
    graph = code.graph(eager_only=False)
    for name in code.sources():
        if any(within(name, room) for room in NEVER_UNPICKLE):
            reached = reachable(name, graph)
            assert not reached & DOORS["cloudpickle"], f"{name} reaches the payload's door"
            assert not any(i.module in ("pickle", "marshal", "shelve") for n in reached for i in code.imports(n)), name


def test_files_are_short() -> None:
    long = {n: lines for n, p in code.sources().items() if (lines := len(p.read_text().splitlines())) > FILE_LINES}
    assert not long


def test_functions_fit_a_glance() -> None:
    lengths = {f"{name}.{node.name}": code.own_length(node) for name, node in code.functions()}
    ordered = sorted(lengths.values())
    assert {n: v for n, v in lengths.items() if v > FUNCTION_LINES} == {}
    assert ordered[int(len(ordered) * 0.95)] <= FUNCTION_P95_LINES
    assert statistics.median(ordered) <= FUNCTION_MEDIAN_LINES


def modules_after(statement: str) -> set[str]:
    script = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=code.ROOT)
    return {m.split(".")[0] for m in done.stdout.split()}


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import warmcell", {"grpc", "IPython", "numpy", "torch", "cloudpickle", "click", "asyncio", "google"}),
        ("import warmcell; warmcell.plan", {"grpc", "numpy", "torch"}),
        ("import jupyter_ext.extension", {"grpc", "numpy", "torch", "starlette", "uvicorn"}),
        ("import remote_runtime.gateway.gateway", {"IPython", "numpy", "cloudpickle", "torch"}),
        ("import remote_runtime.worker.zygote", {"numpy", "torch"}),
    ],
)
def test_importing_stays_light(statement: str, forbidden: set[str]) -> None:
    assert not modules_after(statement) & forbidden


def test_the_public_list_is_what_the_door_offers() -> None:
    import warmcell

    assert set(warmcell.__all__) <= set(dir(warmcell))
    assert all(getattr(warmcell, name) is not None for name in warmcell.__all__)


TEXTS = [p for p in code.ROOT.rglob("*.md") if not set(p.parts) & {".venv", "node_modules", "build"}]


@pytest.mark.parametrize("page", TEXTS, ids=lambda p: str(p.relative_to(code.ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_shows_a_cell_early_and_its_limits_before_the_second() -> None:
    lines = (code.ROOT / "README.md").read_text().splitlines()
    fences = [n for n, line in enumerate(lines, 1) if line.startswith("```")]
    blocks = [(start, "\n".join(lines[start:end])) for start, end in zip(fences[::2], fences[1::2], strict=True)]
    limits = next(n for n, line in enumerate(lines, 1) if "limits" in line.lower() and line.startswith("#"))
    cells = [start for start, text in blocks if "gpu" in text]
    assert cells[0] <= 25
    assert cells[0] < limits < cells[1]


def test_no_text_of_the_project_names_a_machine() -> None:
    home = re.compile(r"/root/|/home/(?!u\b|user\b|me\b)\w+|/wo" + "rk/")
    files = list(code.sources().values()) + TEXTS
    assert [str(p) for p in files if home.search(p.read_text())] == []
