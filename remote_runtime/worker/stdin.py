"""`input()`, `getpass()` and `sys.stdin` of a cell: the notebook of the run is asked, and its answer waited for.

    input(prompt) -> Stdin.ask -> Ask event -> keeper -> kernel -> its front end's prompt
                     waits, reading the channel itself <- Input <- keeper <- the answer

A cell that waits here stops the loop that reads the channel, so whoever waits reads, for all. What else arrives
meanwhile is queued for the loop.
"""

from __future__ import annotations

import builtins
import getpass
import io
import itertools
import select
import sys
from collections.abc import Callable
from typing import Any

from IPython.core.error import StdinNotImplementedError

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.worker.origin import run_here
from remote_runtime.worker.outputs import Outputs
from remote_runtime.worker.shell import flush_user_streams

LOOK_S = 0.05
"""Who waits looks so often whether somebody else has read the answer."""

BACKGROUND = (
    "a run in the background cannot ask for input\nhint: run the cell without `--bg`, or pass the value in a variable"
)
OVER = "the cell that started this code has ended, so nobody can be asked for input\nhint: ask before the cell ends"


class _Question:
    """One open question."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.answer: pb.Input | None = None



class Stdin:
    """Asks the notebook.

    Args:
        outputs: The way of the question.
        fd: The channel's descriptor, on which the answer comes.
        receive: Reads what is there and passes it on; called from any thread.
    """

    def __init__(self, outputs: Outputs, fd: int, receive: Callable[[], None]) -> None:
        self._outputs, self._fd, self._receive = outputs, fd, receive
        self._questions: dict[int, _Question] = {}
        self._ids = itertools.count(1)
        self._open_run = ""
        self._in_background = False

    def install(self) -> None:
        """Put `input`, `getpass` and `sys.stdin` in place; asked again before each run, which may have closed it."""
        builtins.input, getpass.getpass = self.input, self.getpass
        if not isinstance(sys.stdin, StdinStream) or sys.stdin.closed:
            sys.stdin = StdinStream(self)

    def begin(self, run: pb.Run) -> None:
        """Open a run: its code may ask from now on."""
        self.install()
        self._open_run, self._in_background = run.run_id, run.background

    def end(self) -> None:
        """Close the run: its threads that still wait for an answer get none."""
        over, self._open_run = self._open_run, ""
        for question in list(self._questions.values()):
            if question.run_id == over:
                question.answer = pb.Input(eof=True, text=OVER)

    def answer(self, answer: pb.Input) -> None:
        """Take an answer; one to a question that was given up, or comes twice, is dropped."""
        question = self._questions.get(answer.ask_id)
        if question is not None:
            question.answer = answer

    def input(self, prompt: object = "", /) -> str:
        """Ask for a line.

        Raises:
            EOFError: The user ended the input.
            StdinNotImplementedError: Nobody can be asked.
        """
        return self.ask(str(prompt), False)

    def getpass(self, prompt: object = "Password: ", stream: object = None, **_: Any) -> str:
        """Ask for a password, which is not shown.

        Raises:
            EOFError: The user ended the input.
            StdinNotImplementedError: Nobody can be asked.
        """
        return self.ask(str(prompt), True)

    def ask(self, prompt: str, password: bool) -> str:
        """Ask the notebook and wait.

        Raises:
            EOFError: The user ended the input, or this is a forked child, as anywhere in Python.
            StdinNotImplementedError: Nobody can be asked.
        """
        flush_user_streams()
        if self._outputs.forked:
            raise EOFError("EOF when reading a line")
        run_id = run_here() or self._open_run
        if run_id != self._open_run or not run_id or self._in_background:
            raise StdinNotImplementedError(BACKGROUND if run_id and run_id == self._open_run else OVER)
        ask_id, question = next(self._ids), _Question(run_id)
        self._questions[ask_id] = question
        try:
            self._outputs.event(ask=pb.Ask(prompt=prompt, password=password, ask_id=ask_id))
            return _text(self._wait(question))
        finally:
            del self._questions[ask_id]

    def _wait(self, question: _Question) -> pb.Input:
        while question.answer is None:
            # A bounded wait: another thread or the loop may read the answer, or the run may end.
            if select.select([self._fd], [], [], LOOK_S)[0] and question.answer is None:
                self._receive()
        return question.answer


class StdinStream(io.TextIOBase):
    """`sys.stdin` of a cell: each line is asked for.

    Args:
        stdin: Asks.
    """

    encoding = "utf-8"
    errors = "strict"
    mode = "r"
    name = "<stdin>"

    def __init__(self, stdin: Stdin) -> None:
        super().__init__()
        self._stdin, self._rest = stdin, ""

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        """Ask for a line, and return it with its end; an empty text where the input has ended."""
        if not self._rest:
            try:
                self._rest = self._stdin.ask("", False) + "\n"
            except EOFError:
                return ""
        count = len(self._rest) if size is None or size < 0 else size
        line, self._rest = self._rest[:count], self._rest[count:]
        return line

    def read(self, size: int | None = -1, /) -> str:
        """Ask for lines until the input ends, or there are so many characters."""
        if size is not None and size >= 0:
            return self.readline(size)
        return "".join(iter(self.readline, ""))

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def isatty(self) -> bool:
        """Tell that no terminal is there."""
        return False

    def fileno(self) -> int:
        """Return the descriptor that subprocesses read; nobody writes to it."""
        return 0


def _text(answer: pb.Input) -> str:
    if answer.eof and answer.text:
        raise StdinNotImplementedError(answer.text)
    if answer.eof:
        raise EOFError("EOF when reading a line")
    return answer.text
