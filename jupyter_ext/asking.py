"""`input()` of a remote cell: asked by this kernel, so that the front end's own prompt shows.

    Ask event -> Asker.ask -> input() | getpass() of the kernel -> session.answer
                 an interrupt, or the run's end -> the prompt is left, the run goes its own way
"""

from __future__ import annotations

import builtins
import getpass
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from IPython.core.error import StdinNotImplementedError
from IPython.core.interactiveshell import InteractiveShell

from jupyter_ext import display
from kernel_proxy.errors import NotFound
from kernel_proxy.session import RunStream, Session
from remote_runtime.wire import messages_pb2 as pb

LOOK_S = 0.1
"""While a prompt is open it is looked so often whether the run still waits."""

FORBIDDEN = (
    "this notebook runs without anybody to ask: its front end takes no input\n"
    "hint: pass the value in a variable, or run the notebook in a front end"
)


class Asker:
    """Answers the questions of one run.

    Args:
        session: The session it runs in.
        stream: Its events.
        shell: The kernel's.
        is_ours: Whether this kernel started the run; only who did is asked.
    """

    def __init__(self, session: Session, stream: RunStream, shell: InteractiveShell, is_ours: bool = True) -> None:
        self._session, self._stream, self._shell, self._is_ours = session, stream, shell, is_ours

    def ask(self, question: pb.Ask) -> None:
        """Show the prompt and send what the user answers; send nothing when the run waits no more."""
        if self._stream.over:
            return
        if not self._is_ours:
            display.notice(self._shell, f"the run asks for input where it was started: {question.prompt}".rstrip(": "))
            return
        answer = pb.Input(run_id=self._stream.run_id, ask_id=question.ask_id)
        try:
            with _left_on_interrupt(), self._left_at_end():
                answer.text = (getpass.getpass if question.password else builtins.input)(question.prompt)
        except KeyboardInterrupt:
            return
        except EOFError:
            answer.eof = True
        except StdinNotImplementedError:
            answer.eof, answer.text = True, FORBIDDEN
        with suppress(NotFound):  # it ended in this moment
            self._session.answer(answer)

    @contextmanager
    def _left_at_end(self) -> Iterator[None]:
        """Leave the prompt when the run ends by itself: it timed out, or died."""
        answered = threading.Event()
        if threading.current_thread() is threading.main_thread():
            threading.Thread(target=self._watch, args=(answered,), name="warmcell-prompt", daemon=True).start()
        try:
            yield
        finally:
            answered.set()

    def _watch(self, answered: threading.Event) -> None:
        while not answered.wait(LOOK_S):
            if self._stream.over:
                signal.raise_signal(signal.SIGINT)
                return


@contextmanager
def _left_on_interrupt() -> Iterator[None]:
    """Let SIGINT leave the prompt too, besides what it does to the run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: Any = signal.getsignal(signal.SIGINT)

    def leave(number: int, frame: FrameType | None) -> None:
        if callable(before):
            before(number, frame)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)
