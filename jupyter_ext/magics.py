"""`%%gpu` and `%gpu`: hands the line and the cell to the road, or to a command, and cleans up the errors.

The road is imported when the first cell runs, so that loading the extension stays quick. The `%%gpu` line expands
`{name}` as IPython's own cell magics do; the `%gpu` line is code and is never expanded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import (
    Magics,
    cell_magic,
    line_magic,
    magics_class,
    no_var_expand,
    output_can_be_silenced,
)

from jupyter_ext import cells, grammar
from jupyter_ext.settings import GpuSettings

if TYPE_CHECKING:
    from jupyter_ext.connection import Connection


@magics_class
class GpuMagics(Magics, GpuSettings):
    """The magics of one shell, with their traits."""

    _connection: Connection | None = None

    @cell_magic("gpu")
    def run_cell(self, line: str, cell: str) -> Any:
        """Run the cell on the runtime."""
        from jupyter_ext import road, tracebacks

        with tracebacks.shown_short():
            return road.run_cell(self.connection, cells.read_cell(line, cell))

    @no_var_expand
    @output_can_be_silenced
    @line_magic("gpu")
    def run_line(self, line: str) -> Any:
        """Do one of the `%gpu` commands, or run one expression on the runtime and return its value."""
        from jupyter_ext import commands, road, tracebacks

        with tracebacks.shown_short():
            parsed = grammar.parse_line(line)
            if isinstance(parsed, grammar.Expression):
                return road.run_cell(self.connection, cells.read_expression(parsed.source))
            return commands.run(self.connection, parsed)

    run_cell.__doc__ = run_line.__doc__ = grammar.help_text()

    @property
    def connection(self) -> Connection:
        """What this kernel knows of its runtime; made on first use, connected later."""
        from jupyter_ext.connection import Connection

        if self._connection is None:
            self._connection = Connection(self.shell, self)
        return self._connection

    @property
    def existing(self) -> Connection | None:
        """The connection as far as one was made."""
        return self._connection

    def sweep(self, *_: object) -> None:
        """Let go of values that names no longer stand for; IPython calls this after each cell."""
        if self._connection is not None:
            self._connection.sweep()

    def close(self) -> None:
        """Close the connection, if there is one; sessions live on at the runtime."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
