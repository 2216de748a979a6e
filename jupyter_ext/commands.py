"""The commands of `%gpu`, as a table: name -> what to do with the kernel's connection and the command's words.

    "ps", "logs R", ... -> grammar.Command -> COMMANDS[name] -> a report, a value, or what the run raised

Commands that only look (status, ps, doctor) never start a runtime and never open a session.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from jupyter_ext import connecting, files, grammar, images, modules, pips, reports, worlds
from jupyter_ext.connection import Connection
from jupyter_ext.defaults import Defaults
from jupyter_ext.far import Far
from jupyter_ext.grammar import Command
from jupyter_ext.jobs import Job, Transcript
from jupyter_ext.receipt import size_text
from jupyter_ext.reports import Report
from jupyter_ext.status import StatusLine
from jupyter_ext.trip import follow
from kernel_proxy import doctor as checks
from kernel_proxy.errors import NotFound, VersionMismatch
from kernel_proxy.gather import Gates, Wanted, gather
from kernel_proxy.secret import Secret
from kernel_proxy.wishes import Wishes
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions
from remote_runtime.wire.data import DATA

_STOP_HINT = "`%gpu ps` lists the runs"


def run(connection: Connection, command: Command) -> Any:
    """Do a command.

    Raises:
        WarmcellError: It cannot be done.
    """
    return COMMANDS[command.name](connection, command)


def _status(connection: Connection, command: Command) -> Report:
    runtime, default = connection.running(), connection.target()
    if runtime is None:
        return reports.not_running(connecting.place(connection.settings()), default)
    shown = reports.status(runtime.describe(), default, [far.session.session_id for far in connection.sessions])
    through = (f"connected through {connecting.place(connection.settings())}",) if runtime.is_far else ()
    return replace(shown, notes=(*through, *shown.notes))


def _use(connection: Connection, command: Command) -> Report:
    idle = command.options.get("idle")
    before = Defaults() if "reset" in command.options else connection.defaults
    picked = images.choose(connection, str(command.options["image"])) if "image" in command.options else None
    wishes = worlds.wished(command.options, before.wishes)
    if picked is not None:
        wishes = replace(wishes, environment=picked.environment(wishes.environment))
    chosen = Defaults(
        command.args[0] if command.args else before.target,
        str(command.options.get("session", before.session)),
        before.idle_s if idle is None else grammar.parse_duration(str(idle)),
        "no-wait" in command.options or (before.no_wait and not command.options and not command.args),
        wishes,
        before.image if picked is None else picked.image,
        before.later if picked is None else None,
        str(command.options.get("trust", before.trust)),
    )
    considered = _considered(connection, chosen) if worlds.says_something(command.options) else None
    connection.choose(chosen)
    target = connection.target()
    connection.ahead.begin(target, connection.defaults.wishes, asked=True)
    idle_s = (
        connection.settings().idle_s if connection.defaults.idle_s is None else connection.defaults.idle_s
    )
    idle_text = f"after {idle_s:g} s without a run" if idle_s else "when somebody waits for it"
    pairs = {"target": target, "session": connection.session_name(target), "released": idle_text}
    if connection.trust == DATA:
        pairs["taken"] = "data alone; what is no data stays remote"
    if picked is not None:
        pairs["image"] = picked.title
    if connection.defaults.no_wait:
        pairs["held device"] = "an error; `%gpu use` without --no-wait lets cells queue again"
    pairs |= worlds.told(wishes) | (worlds.found(considered) if considered is not None else {})
    notes = (*(considered.remarks if considered is not None else ()), *_unsaid(connection, wishes))
    typed = worlds.warnings(command.options.get("env", ()))
    return replace(reports.facts("the cells that follow use", pairs), notes=(*notes, *typed))


def _considered(connection: Connection, chosen: Defaults) -> pb.ConsiderReply:
    """Ask the runtime what a choice comes to; it is started if need be.

    Raises:
        VersionMismatch: No value could travel between this kernel and such a worker.
        WarmcellError: Something is not there.
    """
    with StatusLine(connection.shell, connection.traits.status_line) as status:
        status.say("looking")
        reply = connection.runtime(status.say).consider(chosen.target, chosen.wishes)
    table = worlds.mismatch(reply)
    if table:
        minor = ".".join(versions.here().python.split(".")[:2])
        what = f"this kernel and {reply.environment.python or 'the worker'} cannot exchange values\n{table}"
        raise VersionMismatch(what, f"choose an environment with Python {minor}")
    return reply


def _unsaid(connection: Connection, wishes: Wishes) -> list[str]:
    """Say which variables, and how much of a device, an open session keeps though it is no longer chosen."""
    kept = sorted({n for far in connection.sessions for n in far.session.given.env} - set(wishes.env))
    parts = {(far.session.name, worlds.part(far.session.given)) for far in connection.sessions if far.session.fresh}
    kept += [f"its device: {has}" for _, has in sorted(parts) if has != worlds.part(wishes)]
    return [f"an open session keeps {', '.join(kept)}, until it is released with `%gpu stop`"] if kept else []


def _secret(connection: Connection, command: Command) -> Report:
    runtime = connection.runtime(lambda sentence: None)
    name, *variables = command.args or ("",)
    if name and not variables:
        raise grammar.GrammarError(f"the secret {name} has no variables", f"write `%gpu secret {name} VARIABLE`")
    if name:
        values = {variable: getpass.getpass(f"{variable}: ") for variable in variables}
        Secret.from_dict(values).create(name, overwrite="overwrite" in command.options, runtime=runtime)
    return reports.secrets(runtime.secrets(pb.SecretsRequest(list=pb.Empty())))


def _pip(connection: Connection, command: Command) -> Report:
    return pips.install(connection, command.args)


def _ps(connection: Connection, command: Command) -> Report:
    runtime = connection.running()
    if runtime is None:
        return reports.not_running("so there are no runs", connection.target())
    return reports.runs(runtime.describe())


def _logs(connection: Connection, command: Command) -> Report:
    job = _job(connection, command.args[0])
    if job is not None:
        return Report(job.logs())
    far, info = _find(connection, command.args[0])
    return Report(_written(far, info))


def _written(far: Far, info: pb.RunInfo) -> str:
    """Return what a run has put out up to now; what comes later is not waited for."""
    transcript = Transcript()
    if info.event_count:
        for event in far.session.follow(info.run_id):
            transcript.feed(event)
            if event.seq >= info.event_count:
                break
    return transcript.text()


def _attach(connection: Connection, command: Command) -> None:
    job = _job(connection, command.args[0])
    if job is not None:
        job.attach()
        return
    far, info = _find(connection, command.args[0])
    follow(connection, far, info.run_id)


def _wait(connection: Connection, command: Command) -> Any:
    job = _job(connection, command.args[0])
    if job is not None:
        return job.result()
    far, info = _find(connection, command.args[0])
    return follow(connection, far, info.run_id, is_shown=False)


def _cancel(connection: Connection, command: Command) -> Report:
    kill = bool(command.options.get("kill"))
    job = _job(connection, command.args[0])
    if job is not None:
        job.cancel(kill)
        return Report(f"cancelling run {job.run_id}")
    far, info = _find(connection, command.args[0])
    far.session.interrupt(info.run_id, kill=kill, why="cancelled")
    return Report(f"cancelling run {info.run_id}")


def _env(connection: Connection, command: Command) -> Report:
    info = _opened(connection).session.environment()
    found = reports.environment(info, versions.here(), bool(command.options.get("diff")))
    chosen = worlds.told(connection.defaults.wishes)
    return replace(found, notes=(*found.notes, *(f"{what} {is_} (by `%gpu use`)" for what, is_ in chosen.items())))


def _vars(connection: Connection, command: Command) -> Report:
    far = _here(connection)
    return reports.variables(far.session.table(), far.session.name, far.mirror.newer)


def _get(connection: Connection, command: Command) -> Report:
    far = _here(connection)
    values = {}
    for name in command.args:
        connection.namespace[name] = values[name] = far.take_over(name, "trust" in command.options)
    return Report(f"got {', '.join(values)}")


def _put(connection: Connection, command: Command) -> Report:
    far = _opened(connection)
    connection.require_held(command.args)
    wanted = Wanted(frozenset(), inputs=tuple((name, name) for name in command.args), only=True)
    gates = Gates(size_gate_bytes=connection.traits.size_gate_bytes)
    mirror = far.mirror
    capture = gather(wanted, connection.namespace, session_id=far.key, gates=gates, mirror=mirror)
    packed, delta = capture.packed, capture.delta
    sources, _ = modules.synced(connection, far, (), capture)
    sync = mirror.sync(delta, command.args)
    far.session.put(packed, sync, sources)
    mirror.sent(sync, delta, packed)
    return Report(f"put {', '.join(packed.names)} · ↑ {size_text(packed.bundle.size_bytes)}")


def _rm(connection: Connection, command: Command) -> Report:
    far = _here(connection)
    removed = far.session.remove(command.args)
    far.mirror.forget(removed.names)
    return reports.removed(removed, "removed")


def _ls(connection: Connection, command: Command) -> Report:
    return files.listing(_here(connection), *command.args)


def _upload(connection: Connection, command: Command) -> Report:
    return files.upload(connection, _opened(connection), *command.args)


def _download(connection: Connection, command: Command) -> Report:
    here = command.args[1] if len(command.args) > 1 else ""
    force = bool(command.options.get("force"))
    return files.download(connection, _opened(connection), command.args[0], here, force)


def _free(connection: Connection, command: Command) -> Report:
    far = _here(connection)
    far.let_go()
    return reports.removed(far.session.free(), "freed")


def _stop(connection: Connection, command: Command) -> Report:
    far = _here(connection)
    reply = connection.runtime(lambda sentence: None).release(far.session.session_id)
    connection.forget(far.session.session_id)
    lost = f"lost {', '.join(reply.lost_names)}" if reply.lost_names else "it held no names"
    return Report(f"stopped session {far.session.name}", notes=(lost,))


def _doctor(connection: Connection, command: Command) -> Report:
    found = checks.examine(connection.settings)
    rows = tuple((f.state, f.name, f.sentence, f.fix) for f in found)
    bad = sum(f.state == "fail" for f in found)
    return Report(f"{len(found)} checks, {bad} failed", ("state", "check", "found", "what to do"), rows)


def _tb(connection: Connection, command: Command) -> Report:
    problem = connection.last_problem
    if problem is None:
        return Report("no run of this notebook has failed")
    is_full = bool(command.options.get("full")) and problem.full_traceback
    return Report("\n".join(problem.full_traceback if is_full else problem.traceback))


def _help(connection: Connection, command: Command) -> Report:
    return reports.manual()


COMMANDS: Mapping[str, Callable[[Connection, Command], Any]] = {
    "status": _status,
    "use": _use,
    "connect": connecting.run,
    "pip": _pip,
    "ps": _ps,
    "logs": _logs,
    "attach": _attach,
    "wait": _wait,
    "cancel": _cancel,
    "env": _env,
    "vars": _vars,
    "get": _get,
    "put": _put,
    "rm": _rm,
    "ls": _ls,
    "upload": _upload,
    "download": _download,
    "secret": _secret,
    "free": _free,
    "stop": _stop,
    "doctor": _doctor,
    "tb": _tb,
    "help": _help,
}


def _here(connection: Connection) -> Far:
    """Return the session this notebook has; none is made."""
    with StatusLine(connection.shell, connection.traits.status_line) as status:
        return connection.current(status.say)


def _opened(connection: Connection) -> Far:
    """Return the session this notebook has, or open it."""
    with StatusLine(connection.shell, connection.traits.status_line) as status:
        try:
            return connection.current(status.say)
        except NotFound:
            return connection.session("", status.say)


def _job(connection: Connection, word: str) -> Job | None:
    """Return this kernel's background run by its name, its id, or the beginning of its id."""
    named = [job for job in connection.jobs.values() if job.name == word]
    found = named or [job for job in connection.jobs.values() if job.run_id.startswith(word)]
    return found[-1] if named or len(found) == 1 else None


def _find(connection: Connection, word: str) -> tuple[Far, pb.RunInfo]:
    """Return a run of the runtime by its id, or the beginning of it.

    Raises:
        NotFound: There is none, or more than one.
    """
    runtime = connection.running()
    sessions: Iterable[pb.SessionInfo] = runtime.describe().sessions if runtime is not None else ()
    found = [(session, info) for session in sessions for info in session.runs if info.run_id.startswith(word)]
    if len(found) != 1:
        what = f"{len(found)} runs begin with `{word}`" if found else f"the runtime has no run `{word}`"
        raise NotFound(what, _STOP_HINT)
    session, info = found[0]
    return connection.attached(session.name, lambda sentence: None), info
