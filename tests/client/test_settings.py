"""Settings come from arguments, the environment, files and defaults, in this order."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from kernel_proxy import settings as module
from kernel_proxy.errors import SettingsError
from kernel_proxy.settings import ENVIRONMENT, Settings, load_settings


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory and a home without settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ENVIRONMENT.values():
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_defaults(place: Path) -> None:
    assert load_settings() == Settings(home=place / "home/.warmcell")
    assert load_settings().embedded


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"argument", "environment", "near", "project", "state"}, "argument"),
        ({"environment", "near", "project", "state"}, "environment"),
        ({"near", "project", "state"}, "near"),
        ({"project", "state"}, "project"),
        ({"state"}, "state"),
        (set(), ""),
    ],
)
def test_the_nearest_wins(given: set[str], expected: str, place: Path) -> None:
    state = place / "home/.warmcell"
    state.mkdir(parents=True)
    files = {"near": place / "warmcell.toml", "state": state / "warmcell.toml"}
    for name in given & set(files):
        files[name].write_text(f'target = "{name}"\n')
    if "project" in given:
        (place / "pyproject.toml").write_text('[tool.warmcell]\ntarget = "project"\n')
    environment = {"WARMCELL_TARGET": "environment"} if "environment" in given else {}
    arguments = {"target": "argument"} if "argument" in given else {"target": None}
    assert load_settings(arguments, environment).target == expected


def test_every_setting_can_be_given_by_file(place: Path) -> None:
    names = {field.name: field.type for field in dataclasses.fields(Settings)}
    known = {"transport": "grpc", "ahead": "never", "start": "spawn", "trust": "data", "arena_bytes": "4096", "cache_bytes": "0"}
    texts = {n: known.get(n, f"https://x/{n}") for n in names}
    lines = [f"{n} = 1.5" if n.endswith("_s") else f'{n} = "{text}"' for n, text in texts.items()]
    (place / "warmcell.toml").write_text("\n".join(lines))
    found = load_settings()
    assert found.url == "https://x/url" and found.idle_s == 1.5 and found.home.is_absolute()
    assert (found.arena_bytes, found.cache_bytes) == (4096, 0)


@pytest.mark.parametrize("value", ["a quarter", "-1", "1.5", True])
def test_a_size_that_is_no_number_of_bytes_is_refused(place: Path, value: object) -> None:
    with pytest.raises(SettingsError, match="number of bytes"):
        load_settings({"arena_bytes": value})


def test_every_environment_variable_names_a_setting() -> None:
    assert set(ENVIRONMENT) <= {field.name for field in dataclasses.fields(Settings)}


@pytest.mark.parametrize(
    ("platform", "local", "found"),
    [("linux", "/l", "home/.warmcell"), ("darwin", "", "home/.warmcell"), ("win32", "/l", "/l/warmcell"), ("win32", "", "home/.warmcell")],
)  # fmt: skip
def test_the_state_directory_lies_where_the_system_keeps_such(place: Path, platform: str, local: str, found: str) -> None:
    assert module.default_home(platform, {"LOCALAPPDATA": local}) == place / found


def test_an_empty_variable_is_not_set(place: Path) -> None:
    assert load_settings(environment={"WARMCELL_URL": "", "WARMCELL_IDLE_S": ""}).embedded


def test_home_moves_the_file_that_is_read(place: Path) -> None:
    (place / "state").mkdir()
    (place / "state/warmcell.toml").write_text('session = "team"')
    found = load_settings(environment={"WARMCELL_HOME": "state"})
    assert (found.home, found.session) == (place / "state", "team")


def test_the_token_is_not_shown(place: Path) -> None:
    assert "s3cret" not in repr(load_settings({"token": "s3cret"}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("targt = 'A100'", r"has a setting `targt`, which does not exist\nhint: did you mean `target`\?"),
        ("zzz = 1", "hint: the settings are "),
        ("idle_s = 'soon'", "sets `idle_s` to 'soon', which is not a number of seconds"),
        ("idle_s = -1", "which is not a number of seconds"),
        ("idle_s = true", "which is not a number of seconds"),
        ("target = 3", "sets `target` to 3, which is not text"),
        ("start = 'frok'", r"sets `start` to 'frok'\nhint: write one of auto, fork, spawn"),
        ("url = 'host:80'", "starts with http://, https:// or ssh://"),
        ("target = ", "is not TOML"),
    ],
)
def test_what_a_wrong_file_says(text: str, words: str, place: Path) -> None:
    (place / "warmcell.toml").write_text(text)
    with pytest.raises(SettingsError, match=words) as caught:
        load_settings()
    assert str(place / "warmcell.toml") in str(caught.value)


def test_a_project_without_settings_of_ours_is_not_parsed(place: Path) -> None:
    (place / "pyproject.toml").write_text("this is not TOML")
    assert load_settings().embedded


def test_a_python_without_a_toml_reader_says_so(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "warmcell.toml").write_text("target = 'A100'")
    monkeypatch.setitem(sys.modules, "tomllib", None)
    monkeypatch.setitem(sys.modules, "tomli", None)
    with pytest.raises(SettingsError, match="this Python has no TOML reader\nhint: install tomli"):
        load_settings()


def test_a_file_that_cannot_be_read(place: Path) -> None:
    (place / "warmcell.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(files=[place / "warmcell.toml"])


def test_the_module_states_the_precedence() -> None:
    assert "arguments > environment > files > logins > defaults" in (module.__doc__ or "")
