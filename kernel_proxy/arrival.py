r"""Arriving at a host: a Python there that has this warmcell runs its gateway; where none has, it is brought.

    find (a shell script there) -> a line of `hosted`                       -> Arrived
                                \- what there is: pythons, uv -> way(...) -> wheel, install, find again
                                                                         \- no way -> RuntimeUnavailable, in words

What is brought lies in an environment of its own, `env/3.11` in the state directory there, and nothing else there is
changed. It sees the packages of the Python it is made with, so a host's torch is a worker's torch.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernel_proxy import ssh, wheel
from kernel_proxy.errors import DiskFull, NotRunning, RuntimeUnavailable, WarmcellError
from kernel_proxy.hosted import MARK
from remote_runtime.wire.versions import VERSION, installed

Say = Callable[[str], None]

START_S = 90.0
"""How long finding or starting the gateway may take."""

INSTALL_S = 600.0
"""How long bringing warmcell may take."""

LACKS = "warmcell-lacks:"
STEP = "warmcell-step:"

COMPANIONS = ("numpy", "pandas")
"""Brought along in the kernel's version where the host has none: their values could not be read there otherwise."""

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"

_CHECK = """
import sys, importlib.util
minor, ours = "%d.%d" % sys.version_info[:2], False
if minor == sys.argv[1]:
    try:
        import warmcell
        ours = warmcell.__version__ == sys.argv[2] and importlib.util.find_spec("kernel_proxy.hosted") is not None
    except Exception:
        pass
print(minor + ("=" if ours else ""))
"""

FIND = f"""
minor=$1; version=$2; digest=$3; verb=$4
cd /
base="${{WARMCELL_HOME:-$HOME/.warmcell}}"
ours="$base/env/$minor/bin/python"
seen=:
look() {{
    case "$seen" in *":$1:"*) return ;; esac
    seen="$seen$1:"
    [ -x "$1" ] || return
    found=$("$1" -c {shlex.quote(_CHECK)} "$minor" "$version" 2>/dev/null) || return
    [ "$found" = "$minor=" ] && exec "$1" -m kernel_proxy.hosted "$verb"
    echo "{LACKS} python $found $1"
}}
for name in python3 python "python$minor"; do
    path=$(command -v "$name" 2>/dev/null) && look "$path"
done
[ "$(cat "$base/env/$minor/warmcell.digest" 2>/dev/null)" = "$digest" ] && look "$ours"
for path in /usr/local/bin/python"$minor" "$HOME/.local/bin/python$minor" \\
    "$HOME"/.pyenv/versions/"$minor".*/bin/python \\
    "$HOME"/miniforge3/bin/python "$HOME"/miniconda3/bin/python "$HOME"/anaconda3/bin/python /opt/conda/bin/python \\
    "$HOME"/.local/share/uv/python/cpython-"$minor".*/bin/python; do
    look "$path"
done
for path in "$(command -v uv 2>/dev/null)" "$HOME/.local/bin/uv" "$HOME/.cargo/bin/uv" /usr/local/bin/uv; do
    [ -x "$path" ] && echo "{LACKS} uv - $path" && break
done
echo "{LACKS} base - $base"
"""
"""Runs the gateway's finder with the first Python that has this warmcell, else tells what there is."""

INSTALL = f"""
set -e
way=$1; python=$2; uv=$3; base=$4; minor=$5; wheel=$6; digest=$7
shift 7
cd /
umask 077
env="$base/env/$minor"
step() {{ echo "{STEP} $*"; }}
make() {{
    [ -x "$env/bin/python" ] && return
    step "making an environment in $env with $python"
    rm -rf "$env"
    if [ "$way" = uv ]; then
        "$uv" venv -q --system-site-packages --python "$python" "$env"
    elif ! "$python" -m venv --system-site-packages "$env" 2>/dev/null || [ ! -x "$env/bin/pip" ]; then
        rm -rf "$env"
        "$python" -m venv --system-site-packages --without-pip "$env"
    fi
}}
put() {{
    if [ "$way" = uv ]; then
        "$uv" pip install -q --python "$env/bin/python" "$@"
    elif [ -x "$env/bin/pip" ]; then
        "$env/bin/python" -m pip install -q --no-input --no-compile --disable-pip-version-check "$@"
    else
        "$python" -m pip -q --no-input --disable-pip-version-check --python "$env/bin/python" install --no-compile "$@"
    fi
}}
rm -f "$env/warmcell.digest"
make
extra=
for needed in "$@"; do
    "$env/bin/python" -c "import $(echo "$needed" | cut -d= -f1)" 2>/dev/null || extra="$extra $needed"
done
step "installing warmcell and what it needs"
put "$wheel" $extra
rm -f "$wheel"
echo "$digest" > "$env/warmcell.digest"
"""


@dataclass(frozen=True)
class Arrived:
    """A gateway on a host.

    Args:
        unix: Path of its Unix socket there.
        token: To show to it.
        about: What it said of itself: `http`, `home`, `python`, `version`, `started`.
    """

    unix: str
    token: str = field(repr=False)
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Survey:
    """What a host has that does not have this warmcell.

    Args:
        base: The state directory there.
        pythons: Minor version and path, in the order in which they were found.
        uv: Path of uv; empty where there is none.
    """

    base: str
    pythons: tuple[tuple[str, str], ...] = ()
    uv: str = ""


def arrive(way: ssh.Ssh, say: Say) -> Arrived:
    """Find or start the gateway of the account on a host; bring warmcell where it is lacking.

    Args:
        way: A host that can be reached.
        say: Told in a sentence what takes time.

    Raises:
        RuntimeUnavailable: There is no way; the message says why.
        DiskFull: The host's disk is.
    """
    found = find(way)
    if isinstance(found, Survey):
        bring(way, found, say)
        say(f"starting the runtime on {way.host.name}")
        found = find(way)
    if isinstance(found, Survey):
        raise RuntimeUnavailable(
            f"warmcell was installed on {way.host.name} in {found.base}/env/{MINOR}, and cannot be imported there",
            f"remove that directory on {way.host.name}, and connect again",
        )
    return found


def look(way: ssh.Ssh) -> Arrived:
    """Find the gateway of the account on a host; nothing is started, brought or changed there.

    Raises:
        NotRunning: None runs there.
        RuntimeUnavailable: The host cannot be reached.
    """
    found = find(way, "look")
    if isinstance(found, Survey):
        raise _nothing_runs(way.host.name)
    return found


def find(way: ssh.Ssh, verb: str = "start") -> Arrived | Survey:
    """Look for a Python with this warmcell on a host, and run the gateway's finder with it.

    Args:
        way: A host that can be reached.
        verb: Whether the gateway shall `start` where none runs; `look` leaves everything as it is.

    Raises:
        RuntimeUnavailable: The host cannot be reached, or its gateway does not start.
    """
    said = ssh.call(way.script(MINOR, VERSION, wheel.digest(), verb), START_S, FIND.encode())
    answers = [line[len(MARK) :] for line in said.out.splitlines() if line.startswith(MARK)]
    if answers:
        return _arrived(json.loads(answers[-1]), way.host.name)
    survey = survey_of(said.out)
    if survey is None:
        raise ssh.failed(way.host, said) if ssh.is_own_failure(said) else _failed(way.host.name, said)
    return survey


def _arrived(answer: dict[str, Any], name: str) -> Arrived:
    if "message" in answer:
        kind = DiskFull if _is_full(answer["message"]) else RuntimeUnavailable
        raise kind(f"the runtime of {name} does not start: {answer['message']}", f"on {name}: {answer['hint']}")
    if "unix" not in answer:
        raise _nothing_runs(name)
    return Arrived(answer.pop("unix"), answer.pop("token"), answer)


def _nothing_runs(name: str) -> NotRunning:
    return NotRunning(f"no runtime runs on {name}", "the first cell starts it, or `warmcell connect`")


def survey_of(out: str) -> Survey | None:
    """Read what the search has told; None when it did not come to its end."""
    rows = [line.split(" ", 3)[1:] for line in out.splitlines() if line.startswith(f"{LACKS} ")]
    last = {kind: path for kind, _, path in rows}
    if "base" not in last:
        return None
    return Survey(last["base"], tuple((m, path) for kind, m, path in rows if kind == "python"), last.get("uv", ""))


def method(survey: Survey, name: str) -> tuple[str, str]:
    """Decide how an environment is made: "uv" or "venv", and with which Python.

    Raises:
        RuntimeUnavailable: The host has nothing to make one with.
    """
    fitting = [path for minor, path in survey.pythons if minor == MINOR]
    if survey.uv:
        return "uv", fitting[0] if fitting else MINOR
    if fitting:
        return "venv", fitting[0]
    hint = f"install python{MINOR} there, or uv (https://docs.astral.sh/uv), which gets it by itself"
    if not survey.pythons:
        raise RuntimeUnavailable(f"there is no Python on {name}", hint)
    others = ", ".join(sorted({minor for minor, _ in survey.pythons}))
    raise RuntimeUnavailable(f"{name} has Python {others}, and this kernel runs {MINOR}: values need the same", hint)


def bring(way: ssh.Ssh, survey: Survey, say: Say) -> None:
    """Install this warmcell on a host, in an environment of its own.

    Raises:
        RuntimeUnavailable: It cannot be installed; the message says why.
        DiskFull: The host's disk is.
    """
    name = way.host.name
    how, python = method(survey, name)
    built = wheel.build()
    say(f"sending warmcell to {name}: {len(built.content) / 1e6:.1f} MB")
    there = f"{survey.base}/{built.name}"
    put = f"umask 077; mkdir -p {shlex.quote(survey.base)} && cat > {shlex.quote(there)}"
    said = ssh.call(way.command(shlex.join(["sh", "-c", put])), INSTALL_S, built.content)
    if said.code != 0:
        raise _failed(name, said) if not ssh.is_own_failure(said) else ssh.failed(way.host, said)
    arguments = [how, python, survey.uv, survey.base, MINOR, there, built.digest, *_companions()]
    said = ssh.call(way.script(*arguments), INSTALL_S, INSTALL.encode(), lambda line: _told(line, name, say))
    if said.code != 0:
        raise _failed(name, said) if not ssh.is_own_failure(said) else ssh.failed(way.host, said)


def _companions() -> list[str]:
    return [f"{name}=={version}" for name in COMPANIONS if (version := installed(name)) is not None]


def _told(line: str, name: str, say: Say) -> None:
    if line.startswith(STEP):
        say(f"{name}: {line[len(STEP) :].strip()}")


_VENV = "install python{minor}-venv there (as `apt install python{minor}-venv`), or uv (https://docs.astral.sh/uv)"
WORDS: Sequence[tuple[str, str, str]] = (
    (
        "No space left on device|Disk quota exceeded",
        "the disk of {name} is full: {line}",
        "make room there, or set WARMCELL_HOME in that account to another disk",
    ),
    (
        "Read-only file system|Permission denied",
        "{name} does not let files be written: {line}",
        "see the rights there, or set WARMCELL_HOME in that account to another directory",
    ),
    (
        "No module named pip|No module named venv|ensurepip|no such option: --python",
        "Python on {name} cannot make an environment: {line}",
        _VENV,
    ),
    (
        "No matching distribution|Could not find a version|Temporary failure in name resolution|Max retries"
        "|Failed to fetch|error sending request",
        "{name} cannot get the packages that warmcell needs: {line}",
        "let it reach a package index (pip.conf or PIP_INDEX_URL there), or install warmcell there by hand",
    ),
)
"""What a host says -> what happened, what to do."""


def _failed(name: str, said: ssh.Said) -> WarmcellError:
    lines = [line.strip() for line in (said.out + said.err).splitlines() if line.strip() and STEP not in line]
    for pattern, message, hint in WORDS:
        matching = [line for line in lines if re.search(pattern, line)]
        if matching:
            text = message.format(name=name, line=matching[-1].rstrip("."))
            return (DiskFull if _is_full(text) else RuntimeUnavailable)(text, hint.format(minor=MINOR))
    last = f": {lines[-1]}" if lines else f" with code {said.code}"
    return RuntimeUnavailable(f"warmcell cannot be installed on {name}{last}", f"try `pip install warmcell` on {name}")


def _is_full(text: str) -> bool:
    return re.search("No space left|[Dd]isk quota|disk (of .* )?is full", text) is not None
