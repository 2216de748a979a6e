"""A command of a build: started in a process group of its own, read line by line, and ended with all it has started.

    Command -> run(say) -> exit code, its last lines            cancelled -> SIGTERM to the group, then SIGKILL
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from remote_runtime.wire.failures import Failed

GRACE_S = 2.0
"""Between asking a command to end and killing it."""

_LINE_BYTES = 1 << 16
_KEPT_LINES = 60
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Command:
    """What is run.

    Args:
        words: Program and arguments.
        environment: All of its variables.
        directory: Where it runs.
    """

    words: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    directory: Path


async def run(command: Command, say: Callable[[str], None]) -> tuple[int, list[str]]:
    """Run a command to its end.

    Args:
        command: What.
        say: Told each line that it writes.

    Returns:
        Exit code, negative for a signal, and its last lines.

    Raises:
        Failed: code "unavailable", where it cannot be started.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command.words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT, env=dict(command.environment), cwd=command.directory,
            start_new_session=True, limit=_LINE_BYTES,
        )  # fmt: skip
    except OSError as error:
        raise Failed("unavailable", f"{command.words[0]} cannot be started: {error.strerror}",
                     "check that it is installed on the runtime's machine") from error  # fmt: skip
    last: deque[str] = deque(maxlen=_KEPT_LINES)
    try:
        await _read(process, say, last)
        code = await process.wait()
    except BaseException:
        await asyncio.shield(_end(process))
        raise
    return code, list(last)


async def _read(process: asyncio.subprocess.Process, say: Callable[[str], None], last: deque[str]) -> None:
    assert process.stdout is not None
    rest = b""
    while piece := await process.stdout.read(_LINE_BYTES):
        *whole, rest = (rest + piece).replace(b"\r", b"\n").split(b"\n")
        for raw in [*whole, *([rest] if len(rest) > _LINE_BYTES else [])]:
            _tell(raw, say, last)
        rest = b"" if len(rest) > _LINE_BYTES else rest
    _tell(rest, say, last)


def _tell(raw: bytes, say: Callable[[str], None], last: deque[str]) -> None:
    text = _COLOURS.sub("", raw.decode(errors="replace")).rstrip()
    if text:
        last.append(text)
        say(text)


async def _end(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE_S)
            break
    with suppress(ProcessLookupError):  # what it has started may ignore the first signal and outlive it
        os.killpg(process.pid, signal.SIGKILL)
