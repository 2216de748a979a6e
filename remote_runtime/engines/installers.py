"""pip and uv as a build uses them: their words, and the variables that make them honour this host and keep secrets.

    Step, host's environment, logins -> words, variables          logins -> a netrc file that lives as long as the step

The host's pip configuration, proxy and certificates hold for both: pip reads them itself, uv is told. Passwords are in
neither words nor variables: a netrc file of mode 0600 has them, together with what the host's own has.
"""

from __future__ import annotations

import configparser
import importlib.util
import os
import re
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from remote_runtime.engines.building import Login
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.images import Step

_PIP = ("--disable-pip-version-check", "--no-input", "--progress-bar=off", "--no-warn-script-location",
        "--root-user-action=ignore")  # fmt: skip
_ELSEWHERE = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV",
              "PIP_REQUIRE_VIRTUALENV", "UV_PROJECT_ENVIRONMENT", "CONDA_PREFIX", "PYTHONSTARTUP")  # fmt: skip
_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST", "no-index": "UV_NO_INDEX", "cert": "SSL_CERT_FILE",
}  # fmt: skip
_OURS = re.compile(r"WARMCELL_.*")


def uv_path() -> str:
    """Return the path of uv, "" where this machine has none."""
    beside = Path(sys.executable).parent / "uv"
    return shutil.which("uv") or (str(beside) if beside.exists() else "")


def words_of(step: Step, python: Path, constraints: Path, uv: str) -> list[str]:
    """Return the command of a step that installs.

    Args:
        step: Of kind "pip" or "uv".
        python: The environment's interpreter, which need not have pip: the runtime's own is run by it.
        constraints: File with what the layers below have, which only uv is told: it does not see them.
        uv: Path of uv; "" where there is none.

    Raises:
        Failed: code "image", where there is neither.
    """
    has_pip = importlib.util.find_spec("pip") is not None
    if uv and (step.kind == "uv" or not has_pip):
        return [uv, "pip", "install", "--python", str(python), "--constraint", str(constraints), *step.options, "--",
                *step.words]  # fmt: skip
    if not has_pip:
        raise Failed("image", f"packages cannot be installed: {sys.executable} has no pip, and there is no uv",
                     f"install one beside the runtime: `{sys.executable} -m ensurepip`")  # fmt: skip
    return [sys.executable, "-m", "pip", "--python", str(python), "install", *_PIP, *step.options, "--", *step.words]


def variables_of(host: Mapping[str, str]) -> dict[str, str]:
    """Return the host's variables as a step may have them: those that lead elsewhere, and ours, are left out."""
    kept = {name: value for name, value in host.items() if name not in _ELSEWHERE and not _OURS.fullmatch(name)}
    ours = {"PYTHONUNBUFFERED": "1", "PIP_NO_INPUT": "1", "UV_NO_PROGRESS": "1"}
    return {"UV_LINK_MODE": "copy", **uv_variables(pip_configuration(host)), **kept, **ours}


def pip_configuration(host: Mapping[str, str]) -> dict[str, str]:
    """Return what pip's files and variables say on this machine, option by option, later ones in place of earlier."""
    home = Path(host.get("HOME", "~")).expanduser()
    files = [Path("/etc/pip.conf"), home / ".pip/pip.conf", home / ".config/pip/pip.conf",
             Path(sysconfig.get_path("data")) / "pip.conf"]  # fmt: skip
    if named := host.get("PIP_CONFIG_FILE"):
        files.append(Path(named))
    parser = configparser.RawConfigParser(strict=False)
    with suppress(configparser.Error, OSError, UnicodeDecodeError):
        parser.read([] if named == os.devnull else files)
    found = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            found.update({key.replace("_", "-"): value for key, value in parser.items(section)})
    spoken = {key: host[f"PIP_{key.upper().replace('-', '_')}"] for key in _TO_UV
              if f"PIP_{key.upper().replace('-', '_')}" in host}  # fmt: skip
    return {**found, **spoken}


def uv_variables(configuration: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which uv does what pip is configured to do."""
    found = {}
    for key, name in _TO_UV.items():
        words = configuration.get(key, "").split()
        if words:
            found[name] = ",".join(words) if key == "find-links" else " ".join(words)
    if "UV_INDEX" in found:
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # as pip takes the best of all indexes
    return found


@contextmanager
def netrc_of(logins: Sequence[Login], secrets: Mapping[str, str], host: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Write the logins of a step where pip and uv look for them, for as long as the step lasts.

    Args:
        logins: They come before what the host's own file has.
        secrets: A password `${NAME}` stands for the secret of that name.
        host: The host's variables.

    Returns:
        The variables to set.
    """
    if not logins:
        yield {}
        return
    own = Path(host.get("NETRC") or Path(host.get("HOME", "~")).expanduser() / ".netrc")
    lines = [_entry(login, secrets) for login in logins]
    with suppress(OSError, UnicodeDecodeError):
        lines.append(own.read_text())
    descriptor, name = tempfile.mkstemp(prefix="warmcell-netrc-")  # made with mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write("\n".join(lines) + "\n")
        yield {"NETRC": name}
    finally:
        os.unlink(name)


def _entry(login: Login, secrets: Mapping[str, str]) -> str:
    user, password = (_filled(text, secrets) for text in (login.user, login.password))
    return f"machine {login.host} login {_word(user)} password {_word(password)}"


def _filled(text: str, secrets: Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda match: secrets.get(match[1], match[0]), text)


def _word(text: str) -> str:
    """Return a word of a netrc file."""
    if text and re.fullmatch(r"[^\s\"'\\#]+", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
