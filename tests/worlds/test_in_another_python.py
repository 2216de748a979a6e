"""Cells that run in somebody else's environment: its packages, our values, and nothing changed in it."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path

import pytest

from remote_runtime.engines.base import EngineSettings, Phase, WorkerSpec
from remote_runtime.engines.interpreters import of_version
from remote_runtime.engines.process import ProcessEngine
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import OWN, Environment
from tests.kernels import LiveKernel
from tests.leftovers import processes_naming
from tests.notebook.conftest import value
from tests.worlds.conftest import short_home


def imprint(folder: Path) -> str:
    """A digest of all that lies in a folder: names, sizes, times."""
    facts = [(str(p), p.lstat().st_size, p.lstat().st_mtime_ns) for p in sorted(folder.rglob("*"))]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def other_python() -> str:
    """A Python of this machine with another minor version, which a worker could run in."""
    minors = [f"3.{n}" for n in range(10, 15) if n != sys.version_info[1]]
    return next((path for minor in minors for path in of_version(minor) if Path(path).exists()), "")


@pytest.fixture
def used(kernel: LiveKernel, venv: Path) -> LiveKernel:
    shown = kernel.run(f"%gpu use --reset --venv {venv}")
    assert shown.status == "ok", shown.traceback
    return kernel


def test_a_cell_has_the_environments_packages_and_the_notebooks_names(used: LiveKernel, venv: Path) -> None:
    before = imprint(venv)
    used.run("rows = [1, 2, 3]\ndef double(x): return 2 * x")
    shown = used.run(
        "%%gpu\nimport sys, only_there\ntotal = double(sum(rows))\nwhere = only_there.WHERE\n"
        "prefix, path = sys.prefix, [p for p in sys.path if p]\ndef triple(x): return 3 * x + total"
    )
    assert shown.status == "ok", shown.traceback
    assert value(used, "total, triple(1), prefix") == (12, 15, str(venv))
    assert value(used, "where").startswith(str(venv))
    path = value(used, "path")
    assert "libraries" in path[-1] and all("libraries" not in entry for entry in path[:-1])
    assert imprint(venv) == before


def test_programs_that_a_cell_starts_are_the_environments_too(used: LiveKernel, venv: Path) -> None:
    used.run(
        "%%gpu\nimport os, subprocess\nvirtual = os.environ['VIRTUAL_ENV']\n"
        "told = subprocess.run(['python', '-c', 'import sys; print(sys.prefix, *sys.path)'], capture_output=True, text=True).stdout"
    )
    assert value(used, "virtual") == str(venv)
    told = value(used, "told")
    assert told.split()[0] == str(venv) and "libraries" not in told


def test_our_own_code_shadows_nothing(used: LiveKernel) -> None:
    shown = used.run("%%gpu\nimport importlib.util\nfound = [n for n in ('warmcell', 'kernel_proxy', 'tests') if importlib.util.find_spec(n)]")
    assert shown.status == "ok" and value(used, "found") == []


def test_use_tells_what_was_found_and_what_holds(used: LiveKernel, venv: Path) -> None:
    told = used.run("%gpu use").result
    assert f"venv:{venv}" in told
    assert f"venv:{venv} (by `%gpu use`)" in used.run("%gpu env").result
    told = used.run("%gpu use --reset").result
    assert str(venv) not in told and str(venv) not in used.run("%gpu use").result
    assert used.run("%%gpu\nimport sys\nsys.prefix").result == repr(sys.prefix)


def test_a_killed_user_process_comes_back_in_the_same_python(used: LiveKernel, venv: Path) -> None:
    assert used.run("%%gpu\nimport os\nos._exit(3)").error["ename"] == "WorkerDied"
    assert used.run("%%gpu\nimport sys\nsys.prefix").result == repr(str(venv))


def test_a_wish_that_cannot_be_met_changes_nothing(used: LiveKernel, venv: Path) -> None:
    for wish, name in (("--venv /no/such", "NotFound"), ("--conda nowhere", "NotFound"), ("--python /bin/ls", "Unsupported")):
        shown = used.run(f"%gpu use {wish}")
        assert shown.error["ename"] == name and "hint: " in shown.error["evalue"], shown.traceback
    both = used.run("%gpu use --conda a --python b")
    assert both.error["ename"] == "GrammarError"
    assert f"venv:{venv}" in used.run("%gpu use").result


def test_another_minor_version_is_a_table_before_anything_runs(kernel: LiveKernel) -> None:
    path = other_python()
    if not path:
        pytest.skip("this machine has no second Python that a worker could run in")
    shown = kernel.run(f"%gpu use --python {path}", timeout_s=110)
    if "could not be fetched" in shown.error["evalue"]:
        pytest.skip("what a worker needs in that Python cannot be fetched here")
    assert shown.error["ename"] == "VersionMismatch", shown.traceback
    assert "package  kernel" in shown.error["evalue"] and ".".join(map(str, sys.version_info[:3])) in shown.error["evalue"]


# ---- the engine by itself --------------------------------------------------------------------------------


async def ready(engine: ProcessEngine, worker_id: str, environment: Environment) -> None:
    await engine.launch(WorkerSpec(worker_id, "secret", environment=environment))
    async for event in engine.watch():
        if event.worker_id == worker_id and event.phase is not Phase.STARTING:
            assert event.phase is Phase.READY, await engine.boot_log(worker_id)
            return


def engine_in(home: Path, **more: object) -> ProcessEngine:
    for part in ("state", "run"):
        (home / part).mkdir(exist_ok=True)
    return ProcessEngine(EngineSettings(home / "state", home / "run", imports=("json",), **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_zygote_ends_a_while_after_its_last_worker(venv: Path, start: str) -> None:
    async def body(home: Path) -> None:
        engine = engine_in(home, spare_ttl_s=0.2, start=start)
        environment = await engine.admit(Environment(python=f"venv:{venv}"))
        await ready(engine, "one", environment)
        assert any("brought.py" in line for line in processes_naming(str(home)))
        await engine.kill("one")
        while processes_naming(str(home)):
            await asyncio.sleep(0.05)
        await ready(engine, "two", environment)
        await engine.kill("two")
        await engine.retire()
        await engine.close()
        assert not processes_naming(str(home))

    with short_home() as home:
        asyncio.run(asyncio.wait_for(body(home), 60))


def test_names_of_one_interpreter_are_one_environment(venv: Path) -> None:
    async def body(home: Path) -> None:
        engine = engine_in(home)
        names = (f"venv:{venv}", str(venv), f"{venv}/bin/python", f"{venv}/bin/python3")
        admitted = {await engine.admit(Environment(python=name)) for name in names}
        assert admitted == {Environment(python=f"{venv}/bin/python")}
        assert await engine.admit(Environment(python=sys.executable)) == OWN
        assert (await engine.versions(admitted.pop())).python == ".".join(map(str, sys.version_info[:3]))
        with pytest.raises(Failed, match="'x' names no image"):
            await engine.admit(Environment(image="x"))

    with short_home() as home:
        asyncio.run(body(home))


def test_the_next_engine_adopts_a_worker_in_another_python(venv: Path) -> None:
    async def body(home: Path) -> None:
        first = engine_in(home)
        environment = await first.admit(Environment(python=f"venv:{venv}"))
        await ready(first, "kept", environment)
        records = first.settings.records
        await first.close()
        second = engine_in(home, records=records)
        (found,) = await second.list()
        assert (found.spec.environment, found.phase) == (environment, Phase.READY)
        await second.kill("kept")
        await second.retire()
        await second.close()
        assert not processes_naming(str(home))

    with short_home() as home:
        asyncio.run(asyncio.wait_for(body(home), 60))
