"""`%gpu connect`: where the cells run, and going elsewhere.

    WHERE -> settings -> Runtime (reached first) -> the connection changes over -> remembered for the next kernels

A place that cannot be reached changes nothing. Sessions that are left live on where they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from jupyter_ext import reports
from jupyter_ext.connection import Connection
from jupyter_ext.grammar import Command
from jupyter_ext.receipt import devices_text
from jupyter_ext.reports import Report
from jupyter_ext.status import StatusLine
from kernel_proxy import remembered
from kernel_proxy.errors import TargetBusy
from kernel_proxy.runtime import Runtime, connect
from kernel_proxy.settings import Settings

LOCAL = "local"
"""How the embedded runtime is called as a place to go to."""

_HERE = "this machine's own runtime"


def run(connection: Connection, command: Command) -> Report:
    """Say where the cells run, or go elsewhere.

    Raises:
        WarmcellError: The place cannot be reached, or a run in the background would be left; nothing has changed.
    """
    if not command.args:
        return _where(connection)
    url = "" if command.args[0] == LOCAL else command.args[0]
    _require_nothing_runs(connection)
    settings = connection.settings_of(url)
    runtime = _reached(connection, settings) if url else None
    left = [far.session.name for far in connection.sessions]
    before = place(connection.settings())
    connection.go_to(url, runtime)
    remembered.remember(settings.home, url) if url else remembered.forget(settings.home)
    facts = {"runtime": place(settings), **(_facts(runtime) if runtime is not None else {})}
    notes = (f"left at {before}: {', '.join(left)}; `%gpu connect` leads back",) if left else ()
    return _with_notes(reports.facts("the cells that follow run on", facts), notes)


def place(settings: Settings) -> str:
    """Name the runtime of some settings, without what may be secret in its address."""
    return _HERE if settings.embedded else settings.place


def _reached(connection: Connection, settings: Settings) -> Runtime:
    with StatusLine(connection.shell, connection.traits.status_line) as status:
        return connect(settings, status.say)


def _require_nothing_runs(connection: Connection) -> None:
    running = [job.name or job.run_id for job in connection.jobs.values() if job.status == "running"]
    if running:
        raise TargetBusy(
            f"{', '.join(running)} runs in the background where this notebook is connected now",
            "wait for it with `%gpu wait`, or end it with `%gpu cancel`",
        )


def _where(connection: Connection) -> Report:
    settings, runtime = connection.settings(), connection.reached
    state = "connected" if runtime is not None else "not connected yet: the first cell does it"
    facts = {"runtime": place(settings), "state": state}
    return reports.facts("cells run on", facts | (_facts(runtime) if runtime is not None else {}))


def _facts(runtime: Runtime) -> Mapping[str, str]:
    info = runtime.describe()
    return {
        "devices": devices_text(info.devices),
        "python": info.versions.python,
        "sessions": ", ".join(session.name for session in info.sessions) or "-",
    }


def _with_notes(report: Report, notes: tuple[str, ...]) -> Report:
    return Report(report.title, report.columns, report.rows, notes)
