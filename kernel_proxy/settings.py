"""The client's settings: where the runtime is and what a session asks of it.

    arguments > environment > files > logins > defaults -> Settings

One precedence, applied in `load_settings` and nowhere else. Files, nearest first: `warmcell.toml` in the
working directory, `[tool.warmcell]` of its `pyproject.toml`, and in the state directory what `connect` remembers and
`warmcell.toml`. A login gives the address where nothing else does, and the token of its own address only. A file's
`url` decides where a notebook's values go, so files are read from these places, never from parents.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from kernel_proxy import logins, remembered
from kernel_proxy.errors import SettingsError
from remote_runtime.wire import data, forking, limits

ENVIRONMENT: Mapping[str, str] = {
    "url": "WARMCELL_URL",
    "token": "WARMCELL_TOKEN",
    "home": "WARMCELL_HOME",
    "engine": "WARMCELL_ENGINE",
    "engine_options": "WARMCELL_ENGINE_OPTIONS",
    "simulate": "WARMCELL_SIMULATE",
    "target": "WARMCELL_TARGET",
    "session": "WARMCELL_SESSION",
    "idle_s": "WARMCELL_IDLE_S",
    "ca_file": "WARMCELL_CA_FILE",
    "imports": "WARMCELL_IMPORTS",
    "start": "WARMCELL_START",
    "answer_s": "WARMCELL_ANSWER_S",
    "transport": "WARMCELL_TRANSPORT",
    "arena_bytes": "WARMCELL_ARENA_BYTES",
    "ahead": "WARMCELL_AHEAD",
    "cache_bytes": "WARMCELL_CACHE_BYTES",
    "ssh": "WARMCELL_SSH",
    "trust": "WARMCELL_TRUST",
}
"""Setting -> the environment variable that sets it."""

AUTO, GRPC = "auto", "grpc"
ALWAYS, NEVER = "always", "never"
TRANSPORTS = (AUTO, GRPC)
"""How a worker on this machine is reached: over its plain Unix socket where that can be, or over gRPC always."""

AHEAD = (AUTO, ALWAYS, NEVER)
"""When a worker is warmed for a header that is being typed: on the embedded runtime, on every one, or on none."""


@dataclass(frozen=True)
class Settings:
    """What a client needs to know before it connects.

    Args:
        url: The runtime's `http(s)://` address, or `ssh://` and a host; empty means the embedded runtime of this
            machine.
        token: Bearer token of `url`; the embedded runtime keeps its own in a file.
        home: State directory of the embedded runtime.
        engine: What starts workers of the embedded runtime, as `docker`; empty means its default, `process`.
        engine_options: The engine's own, as `memory=8g,cpus=2`.
        simulate: Devices that the embedded runtime declares for trial when it starts, as `A100:2`.
        target: Target of a cell that names none; empty means any.
        session: Session of a cell that names none; empty means one per notebook and target.
        idle_s: Seconds without a run after which a session is released; 0 means only when somebody waits.
        ca_file: PEM bundle to check an `https://` runtime by; empty means SSL_CERT_FILE, or the system's.
        imports: Modules that warm workers of the embedded runtime have imported, where installed.
        start: How workers of the embedded runtime start: `fork`, `spawn`, or `auto`, which forks where that is safe.
        idle_exit_s: Seconds without any session after which the embedded runtime ends itself; 0 means never.
        files_keep_s: Seconds that a session's working directory outlives the session, on the embedded runtime.
        start_s: Seconds that the embedded runtime may take to start.
        answer_s: Seconds that a gateway may take to answer a question.
        transport: How a worker on this machine is reached, one of `TRANSPORTS`.
        arena_bytes: Shared memory that large values may take on their way, each way; None for a quarter of the
            machine's, 0 for none.
        ahead: When a worker is warmed while a cell's header is typed, one of `AHEAD`.
        cache_bytes: What a session of the embedded runtime keeps of what was sent to it, when nothing there holds it
            any more; None for a sixteenth of its memory, at most 1 GiB.
        ssh: How OpenSSH's client is called, as `ssh -F FILE`.
        trust: What is taken from workers: `all`, or `data` alone, which runs nothing here.
    """

    url: str = ""
    token: str = field(default="", repr=False)
    home: Path = field(default_factory=lambda: default_home(sys.platform, os.environ))
    engine: str = ""
    engine_options: str = ""
    simulate: str = ""
    target: str = ""
    session: str = ""
    idle_s: float = 0.0
    ca_file: str = ""
    imports: str = "numpy,pandas,torch"
    start: str = forking.AUTO
    idle_exit_s: float = 900.0
    files_keep_s: float = limits.FILES_KEEP_S
    start_s: float = 60.0
    answer_s: float = 15.0
    transport: str = AUTO
    arena_bytes: int | None = None
    ahead: str = AUTO
    cache_bytes: int | None = None
    ssh: str = "ssh"
    trust: str = data.ALL

    @property
    def over_ssh(self) -> bool:
        """Whether the runtime is that of an account on another host."""
        return self.url.startswith("ssh://")

    @property
    def place(self) -> str:
        """The address as it may be shown: what may be secret in it is left out."""
        return self.url.partition("?")[0]

    @property
    def embedded(self) -> bool:
        """Whether the runtime is the one on this machine that starts by itself."""
        return not self.url


def load_settings(
    arguments: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    files: Sequence[Path] | None = None,
) -> Settings:
    """Return the settings that hold, by the one precedence: argument > environment > file > login > default.

    Args:
        arguments: Settings given by the caller; None and absent values are not given.
        environment: Replaces `os.environ`.
        files: Replaces the files, nearest first.

    Raises:
        SettingsError: A file cannot be read, or a setting is unknown or of the wrong kind.
    """
    environment = os.environ if environment is None else environment
    given = {name: value for name, value in (arguments or {}).items() if value is not None}
    spoken = {name: environment[key] for name, key in ENVIRONMENT.items() if environment.get(key)}
    home = _home({**spoken, **given}.get("home"))
    written: dict[str, Any] = {}
    for file in reversed(_files(home) if files is None else files):
        written |= _checked(_read(file), str(file))
    layers = written | _checked(spoken, "the environment") | _checked(given, "the arguments")
    home = _home(layers.get("home", home))
    login = logins.setting(home, layers.get("url")) if layers.get("url", "-") else {}
    return Settings(**{**login, **layers, "home": home})


def _files(home: Path) -> list[Path]:
    here = Path.cwd()
    return [here / "warmcell.toml", here / "pyproject.toml", home / remembered.NAME, home / "warmcell.toml"]


def _home(value: str | Path | None) -> Path:
    return Path(value).expanduser().absolute() if value else default_home(sys.platform, os.environ)


def default_home(platform: str, environment: Mapping[str, str]) -> Path:
    """Return the state directory where nothing names another: on Windows where programs keep such things.

    Args:
        platform: As `sys.platform`.
        environment: LOCALAPPDATA is read from it, on Windows.
    """
    local = environment.get("LOCALAPPDATA", "") if platform == "win32" else ""
    return Path(local) / "warmcell" if local else Path.home() / ".warmcell"


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the settings file {file} cannot be read: {error}", "make it readable, or remove it"
        ) from error
    whole = file.name != "pyproject.toml"
    if not whole and "[tool.warmcell" not in text:
        return {}
    content = _parse(text, file)
    return content if whole else content.get("tool", {}).get("warmcell", {})


def read_toml(file: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        SettingsError: It cannot be read.
    """
    try:
        return _parse(file.read_text(encoding="utf-8"), file)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the file {file} cannot be read: {error}", "make it readable") from error


def _parse(text: str, file: Path) -> dict[str, Any]:
    loads = _toml_loads(file)
    try:
        return loads(text)
    except ValueError as error:
        raise SettingsError(f"the settings file {file} is not TOML: {error}", "correct that line") from error


def _toml_loads(file: Path) -> Callable[[str], dict[str, Any]]:
    for module in ("tomllib", "tomli"):  # Python 3.10 has no tomllib
        try:
            return importlib.import_module(module).loads
        except ModuleNotFoundError:
            continue
    raise SettingsError(
        f"the settings file {file} cannot be read: this Python has no TOML reader",
        "install tomli, use Python 3.11 or later, or set WARMCELL_URL and WARMCELL_TOKEN instead",
    )


_KINDS: Mapping[str, Callable[[Any], Any]] = {
    f.name: float if f.name.endswith("_s") else _home if f.name == "home" else str for f in fields(Settings)
} | {"arena_bytes": int, "cache_bytes": int}


_CHOICES: Mapping[str, Sequence[str]] = {
    "start": forking.STARTS, "transport": TRANSPORTS, "ahead": AHEAD, "trust": data.TRUSTS,
}  # fmt: skip


def _checked(layer: Mapping[str, Any], where: str) -> dict[str, Any]:
    return {name: _value(name, value, where) for name, value in layer.items()}


def _value(name: str, value: Any, where: str) -> Any:
    if name not in _KINDS:
        near = difflib.get_close_matches(name, _KINDS, n=1)
        known = f"did you mean `{near[0]}`?" if near else f"the settings are {', '.join(sorted(_KINDS))}"
        raise SettingsError(f"{where} has a setting `{name}`, which does not exist", known)
    kind = _KINDS[name]
    if kind is float and not _is_duration(value):
        raise SettingsError(
            f"{where} sets `{name}` to {value!r}, which is not a number of seconds", "write a number, as 600"
        )
    if kind is int:
        return _bytes(name, value, where)
    if kind is not float and not isinstance(value, (str, Path)):
        raise SettingsError(f"{where} sets `{name}` to {value!r}, which is not text", "put it in quotes")
    if name == "url" and value and not str(value).startswith(("http://", "https://", "ssh://")):
        hint = "a runtime's address starts with http://, https:// or ssh://"
        raise SettingsError(f"{where} sets `url` to {value!r}", hint)
    if value not in _CHOICES.get(name, (value,)):
        raise SettingsError(f"{where} sets `{name}` to {value!r}", f"write one of {', '.join(_CHOICES[name])}")
    return kind(value)


def _bytes(name: str, value: Any, where: str) -> int:
    if isinstance(value, (int, str)) and not isinstance(value, bool) and str(value).strip().isdecimal():
        return int(value)
    raise SettingsError(
        f"{where} sets `{name}` to {value!r}, which is not a number of bytes", "write a whole number, as 1073741824"
    )


def _is_duration(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and 0 <= float(value) < float("inf")
    except (TypeError, ValueError):
        return False
