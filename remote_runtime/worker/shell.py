"""The IPython shell that runs cells, with its displays turned into events.

    source, count -> Shell.run_source -> the shell's own machinery -> the exception, if any
    display(...) -> Publisher -> Display event;  the last expression -> ResultHook -> Result event

The shell keeps no history: the notebook has it. Errors of a cell are not printed here, they travel in its
end; what a cell's code shows by itself (`%tb`, a nested cell) goes to stderr.
"""

from __future__ import annotations

import builtins
import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from typing import Any, NoReturn

import IPython
from IPython.core import page
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import UsageError
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from traitlets import Type
from traitlets.config import Config

from remote_runtime.wire import limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.worker import tracebacks
from remote_runtime.worker.compiling import CellCompiler
from remote_runtime.worker.origin import CAPTURE
from remote_runtime.worker.outputs import Outputs
from remote_runtime.worker.plain import plain
from remote_runtime.worker.plaincells import PlainCells

PLAIN = "nocolor" if IPython.version_info[0] >= 9 else "NoColor"
DISPLAY_LIMIT_BYTES = limits.FRAME_LIMIT_BYTES // 2

_LEAD = re.compile(r"(?:[ \t]*\n)*(?:[ \t]*#[^\n]*(?:\n|\Z))?(?:[ \t]*\n)*")


def mime(data: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> pb.Mime:
    """Turn a MIME bundle into a message; one that is too large to travel becomes a text that says so.

    Raises:
        TypeError: A value is neither JSON nor bytes.
    """
    text = json.dumps(dict(data), default=plain)
    if len(text) > DISPLAY_LIMIT_BYTES:
        size, most = (count / limits.MIB for count in (len(text), DISPLAY_LIMIT_BYTES))
        notice = f"<{', '.join(data)}: {size:.1f} MiB, not shown because it is over {most:.0f} MiB>"
        return pb.Mime(data_json=json.dumps({"text/plain": notice}), metadata_json="{}")
    return pb.Mime(data_json=text, metadata_json=json.dumps(metadata or {}, default=plain))


def notice(text: str) -> pb.Mime:
    """Return a line of ours among a cell's outputs."""
    html = f'<div style="opacity:.75;font-size:90%">{escape(text)}</div>'
    return mime({"text/plain": text, "text/html": html}, {"warmcell": {"notice": text}})


class Publisher(DisplayPublisher):
    """Sends what `display` is given."""

    outputs: Outputs

    def _setup_execution_tracking(self) -> None:
        """Track nothing: displays are not kept here."""

    def publish(
        self,
        data: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
        source: object = None,
        *,
        transient: Mapping[str, Any] | None = None,
        update: bool = False,
        **_: object,
    ) -> None:
        """Send a display or its update."""
        self._validate_data(data, metadata)
        flush_user_streams()
        if self.outputs.forked:
            self.outputs.put(False, f"{data.get('text/plain', '')}\n")
            return
        beside = dict(transient or {})
        display_id = str(beside.pop("display_id", None) or "")
        capture = CAPTURE.get()
        if capture is not None and capture.is_open and capture.display(*_as_json(data, metadata), display_id, update):
            return
        extra = json.dumps(beside, default=plain) if beside else ""
        shown = pb.Display(
            mime=mime(data, metadata), display_id=display_id, update=update, transient_json=extra
        )
        self.outputs.event(display=shown)

    def clear_output(self, wait: bool = False) -> None:
        """Clear what the cell has shown."""
        flush_user_streams()
        capture = CAPTURE.get()
        if capture is not None and capture.is_open:
            capture.clear(wait)
            return
        self.outputs.event(clear=pb.Clear(wait=wait))


def _as_json(data: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a MIME bundle as it arrives at the other end."""
    shown = mime(data, metadata)
    return json.loads(shown.data_json), json.loads(shown.metadata_json)


def flush_user_streams() -> None:
    """Flush what the user has put in place of stdout and stderr; ours are flushed with every event."""
    for stream in (sys.stdout, sys.stderr):
        flush = getattr(stream, "flush", None)
        if flush is not None and not getattr(stream, "closed", False):
            flush()


class ResultHook(DisplayHook):
    """Shows the last expression's value and keeps it for the end."""

    outputs: Outputs
    source = ""
    shows = True
    value: object = None

    def __call__(self, result: object = None) -> None:
        """Take a value that an expression statement gave."""
        if result is None or self.quiet():
            return
        if self.shows:
            data, metadata = self.compute_format_data(result)
            if data:
                flush_user_streams()
                self.outputs.event(result=pb.Result(mime=mime(data, metadata)))
        self.update_user_ns(result)
        self.fill_exec_result(result)

    def quiet(self) -> bool:
        """Tell whether the cell ends in a semicolon."""
        return ";" in self.source and bool(self.semicolon_at_end_of_expression(self.source))

    def update_user_ns(self, result: object) -> None:
        """Keep the value as `_`, unless the user has a `_` of their own."""
        names = self.shell.user_ns
        if names.get("_", "") is self._ and "_" not in builtins.__dict__:
            self.___, self.__, self._ = self.__, self._, result
            names.update({"_": self._, "__": self.__, "___": self.___})
        self.value = result

    def forget(self) -> None:
        """Let go of the last values."""
        self.value, self._, self.__, self.___ = None, "", "", ""
        self.shell.user_ns.update({"_": "", "__": "", "___": ""})


class Shell(InteractiveShell):
    """An IPython shell without history, colours or terminal."""

    outputs: Outputs
    plain_cells: PlainCells
    display_pub_class = Type(Publisher)
    displayhook_class = Type(ResultHook)
    compiler_class = Type(CellCompiler)
    _in_cell = False

    @classmethod
    def build(cls, outputs: Outputs) -> Shell:
        """Make the process's shell, with a fresh `__main__` as its namespace.

        Args:
            outputs: Where displays go.
        """
        config = Config()
        config.HistoryManager.enabled = False
        cls.outputs = Publisher.outputs = ResultHook.outputs = outputs
        shell = cls.instance(config=config, colors=PLAIN, cache_size=0, xmode="Context")
        shell.builtin_trap.__enter__()  # for good: threads and tasks run between cells too
        shell.display_trap.__enter__()
        shell.plain_cells = PlainCells(shell)
        shell.set_hook("show_in_pager", page.as_hook(page.display_page), 90)
        return shell

    def init_virtualenv(self) -> None:
        """Leave `sys.path` to whoever started the worker."""

    def enable_gui(self, gui: str | None = None) -> None:
        """Take note of an event loop for windows.

        Raises:
            UsageError: There are no windows here.
        """
        if gui not in (None, "inline"):
            raise UsageError(
                f"a remote cell cannot open windows of `{gui}`; `%matplotlib inline` shows figures"
            )

    def ask_exit(self) -> NoReturn:
        """End the cell: `exit` and `quit`.

        Raises:
            SystemExit: Always.
        """
        raise SystemExit

    async def run_source(self, source: str, transformed: str | BaseException) -> BaseException | None:
        """Run a cell.

        Args:
            source: As it was written.
            transformed: As plain Python, from `plain_source`.

        Returns:
            What it raised.
        """
        result, self.displayhook.source, self.displayhook.value = None, source, None
        raised = (type(transformed), transformed, None) if isinstance(transformed, BaseException) else None
        text = source if isinstance(transformed, BaseException) else transformed
        try:
            result = await self.run_cell_async(source, transformed_cell=text, preprocessing_exc_tuple=raised)
        finally:
            self._after_cell(result)
            self.last_execution_result = self.displayhook.exec_result = None
        return result.error_before_exec or result.error_in_exec

    def _after_cell(self, result: ExecutionResult | None) -> None:
        with self.in_code():
            self.events.trigger("post_execute")
            self.events.trigger("post_run_cell", result)

    @contextmanager
    def in_code(self) -> Iterator[None]:
        """Surround code of the user's that is no cell, a callback: what it raises is shown."""
        outer, self._in_cell = self._in_cell, True
        try:
            yield
        finally:
            self._in_cell = outer

    def plain_source(self, source: str) -> str | BaseException:
        """Turn a cell into plain Python, or return why that cannot be done."""
        if self.plain_cells.holds(source):
            return source if source.endswith("\n") else f"{source}\n"
        try:
            return self.transform_cell(source)
        except Exception as error:  # noqa: BLE001  transformers raise what they like; it is the cell's error
            return error

    def transform_cell(self, raw_cell: str) -> str:
        """Turn a cell into plain Python with the same line numbers.

        What stands above the first statement is kept as it is: line 1 stands for the magic's own line, and
        IPython sees a cell magic, an alias or a lone `exit` only where a cell begins.
        """
        lead = _LEAD.match(raw_cell).group()  # type: ignore[union-attr]  # matches nothing, at least
        plain: str = super().transform_cell(raw_cell[len(lead) :])
        return lead + plain

    def run_cell(self, raw_cell: str, *args: Any, **kwargs: Any) -> ExecutionResult:
        """Run a nested cell, as `%%capture` does; its lines are counted from the top of the outer one."""
        _, lines = self.compile.place(sys._getframe(1))
        return super().run_cell("\n" * lines + raw_cell, *args, **kwargs)

    async def run_code(
        self, code_obj: Any, result: ExecutionResult | None = None, *, async_: bool = False
    ) -> bool:
        """Execute compiled code; what it raises is left in the result.

        Returns:
            Whether it raised.
        """
        __tracebackhide__ = "__ipython_bottom__"
        self.on_code(async_)
        outer, self._in_cell = self._in_cell, True
        try:
            if async_:
                await eval(code_obj, self.user_global_ns, self.user_ns)
            else:
                exec(code_obj, self.user_global_ns, self.user_ns)
        except BaseException as error:  # noqa: BLE001  whatever user code raises, exits and interrupts too, is the cell's end
            if result is not None:
                result.error_in_exec = error
            if outer or result is None:
                self.showtraceback()
            return True
        finally:
            self._in_cell = outer
        return False

    @staticmethod
    def on_code(is_async: bool) -> None:
        """Be told before code runs whether it is a coroutine; to be replaced."""

    def showtraceback(self, exc_tuple: Any = None, *args: Any, **kwargs: Any) -> None:
        """Show an exception that the cell's own code wants shown: of a nested cell, or by `%tb`."""
        error = exc_tuple[1] if exc_tuple else sys.exc_info()[1]
        if not self._in_cell:
            return
        if error is None or args or kwargs.get("exception_only"):
            super().showtraceback(exc_tuple, *args, **kwargs)
        else:
            self._showtraceback(type(error), error, tracebacks.lines(error, self))

    def showsyntaxerror(self, *args: Any, **kwargs: Any) -> None:
        """Show a syntax error of a nested cell."""
        if self._in_cell:
            super().showsyntaxerror(*args, **kwargs)

    def _showtraceback(self, etype: type, evalue: BaseException, stb: list[str]) -> None:
        self.outputs.put(True, "\n".join(map(str, stb)) + "\n")

    def system_raw(self, cmd: str) -> None:
        """Run a command whose output goes to descriptors 1 and 2."""
        self.outputs.flush()
        super().system_raw(cmd)


Shell.__name__ = Shell.__qualname__ = "ZMQInteractiveShell"
"""Libraries (rich, pandas and others) tell a notebook from a terminal by this name."""
