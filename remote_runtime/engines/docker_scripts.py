"""What a step of an image is in a container: shell, wheels for its Python, and what it is given.

    Step -> script_of, install -> commands for /bin/sh          files, secrets, proxies -> a folder that is mounted
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from remote_runtime.engines.building import Context, Work
from remote_runtime.wire.images import Content, Step

WORK, GIVEN, CODE = "/opt/work", "/run/warmcell-step", "/run/warmcell-code"
"""Where an image has files with relative paths; where a step finds what it is given, and what runs functions."""

START = f'cd "$(cat {WORK}/.directory 2>/dev/null || echo {WORK})"; set -a; . {GIVEN}/variables; set +a'
FIND = "PY=/opt/python/bin/python; test -x $PY || PY=$(command -v python3)"
_GLIBCS = ("2_28", "2_27", "2_26", "2_24", "2_17")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
INDEX_OPTIONS = ("--index-url", "--extra-index-url", "--find-links", "--trusted-host", "-i", "-f", "--cert")


def kept_options(step: Step) -> list[str]:
    """Return the options of a step that are no matter of where packages come from."""
    kept: list[str] = []
    rest = iter(step.options)
    for word in rest:
        if word in INDEX_OPTIONS:
            next(rest, None)
        elif not word.startswith(tuple(f"{name}=" for name in INDEX_OPTIONS)) and word != "--no-index":
            kept.append(word)
    return kept


def platform_words(python: str) -> list[str]:
    """Return pip's words for wheels of a Python on this machine's kind of Linux."""
    machine, digits = platform.machine(), python.replace(".", "")
    words = ["--only-binary=:all:", "--python-version", python, "--implementation", "cp"]
    for abi in (f"cp{digits}", "abi3", "none"):
        words += ["--abi", abi]
    for name in (*(f"manylinux_{glibc}" for glibc in _GLIBCS), "manylinux2014", "linux"):
        words += ["--platform", f"{name}_{machine}"]
    return words


def install(step: Step) -> str:
    """Return the command that installs what was fetched; what is there already and suits stays."""
    names = [word.partition("@")[0].strip() if " @ " in word else word for word in step.words]
    return (
        f"$PY -m pip install --no-index --find-links {GIVEN}/wheels --no-cache-dir --disable-pip-version-check "
        f"--root-user-action ignore {shlex.join([*kept_options(step), '--', *names])}"
    )


def script_of(step: Step, given: Path, context: Context) -> list[str]:
    """Return the commands of a step that installs no packages of an index, and put what it takes where it finds it."""
    words = shlex.join(step.words)
    for file in step.files:
        put(replace(file, path=file.path.lstrip("/")), given / _kind(file), context)
    scripts: Mapping[str, Sequence[str]] = {
        "apt": (f"apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {words}",
                "rm -rf /var/lib/apt/lists/*"),
        "run": [line for command in step.words for line in (f"echo {shlex.quote('$ ' + command)}", f"( {command}\n)")],
        "workdir": (f"mkdir -p {words}; cd {words}; pwd > {WORK}/.directory",),
        "function": (f"PYTHONPATH={CODE} $PY -m remote_runtime.worker.imagestep {GIVEN}/inside/function.pickle",),
        "modules": (f"cp -R {GIVEN}/inside/. $($PY -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))')/",),
        "files": (f"test ! -d {GIVEN}/inside || cp -R {GIVEN}/inside/. ./",
                  f"test ! -d {GIVEN}/outside || cp -R {GIVEN}/outside/. /"),
    }  # fmt: skip
    return [*scripts[step.kind]]


def _kind(file: Content) -> str:
    return "outside" if file.path.startswith("/") else "inside"


def put(file: Content, folder: Path, context: Context) -> None:
    """Put a file of a build where its path says, beneath a folder."""
    target = folder / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(context.path(file), target)
    target.chmod(0o755 if file.executable else 0o644)


def write_variables(path: Path, work: Work) -> None:
    """Write what a step's commands have as variables, and no layer keeps: the host's proxies, the step's secrets."""
    found = {name: os.environ[name] for name in _PROXIES if name in os.environ}
    found.update(work.secrets())
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in found.items()))
