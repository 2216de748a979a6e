from __future__ import annotations

import logging
from importlib import metadata
from pathlib import Path

import pytest

from remote_runtime import engines
from remote_runtime.engines.base import EngineSettings
from remote_runtime.engines.process import NOT_HELD, ProcessEngine
from remote_runtime.wire.failures import Failed

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = EngineSettings(Path("state"), Path("run"))


@pytest.fixture
def with_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        metadata.EntryPoint("gone", "no_such_module:Engine", engines.GROUP),
        metadata.EntryPoint("wrong", "pathlib:Path", engines.GROUP),
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda group: points)


def test_process_is_there_without_an_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "entry_points", lambda group: [])
    assert isinstance(engines.load("process", SETTINGS), ProcessEngine)


def test_an_unknown_engine_is_refused_with_the_known_ones(with_broken: None) -> None:
    with pytest.raises(Failed, match="no engine named 'ray'\nhint: choose one of docker, gone, process, wrong"):
        engines.load("ray", SETTINGS)


@pytest.mark.parametrize("name", ["gone", "wrong"])
def test_a_broken_engine_is_named(with_broken: None, name: str) -> None:
    with pytest.raises(Failed, match=f"the engine '{name}' .* cannot be loaded"):
        engines.load(name, SETTINGS)


def test_broken_engines_are_skipped(with_broken: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert list(engines.usable(SETTINGS)) == ["process", "docker"]
    assert "'gone'" in caplog.text
    assert "'wrong'" in caplog.text


def test_bad_declarations_are_refused_before_anything_starts() -> None:
    with pytest.raises(Failed, match="declares no device"):
        engines.load("process", EngineSettings(Path("state"), Path("run"), simulate="A100:x"))


def test_the_docs_say_what_process_does_not_hold() -> None:
    page = (ROOT / "docs" / "engines" / "process.md").read_text()
    table = page[page.index("| what | in words |") :].split("\n\n")[0]
    rows = [tuple(cell.strip() for cell in line.split("|")[1:3]) for line in table.splitlines()]
    assert tuple(rows[2:]) == NOT_HELD
