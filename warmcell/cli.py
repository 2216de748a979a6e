"""The command line: `warmcell up | down | connect | status | ps | logs | doctor`, those of `team` and of `keeping`.

    words -> settings -> runtime (found, never started but by `up`) -> facts -> table, or one line of JSON

Errors are one sentence and a `hint:` on stderr, with exit code 1.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, NoReturn

import click

from kernel_proxy import doctor as checks
from kernel_proxy import embedded, statedir
from kernel_proxy.errors import RuntimeUnavailable, WarmcellError
from kernel_proxy.runtime import Runtime, connect
from kernel_proxy.settings import Settings, load_settings
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.versions import VERSION
from warmcell import connecting, facts, keeping, replay, team
from warmcell.options import Share
from warmcell.options import json_option as _json
from warmcell.options import print_json as _print
from warmcell.options import settings_of as _settings
from warmcell.options import state_option as _state
from warmcell.tables import plain

_FILE = click.Path(exists=True, dir_okay=False)


class _Group(click.Group):
    """Turns our errors into a sentence and a hint."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except WarmcellError as error:
            click.echo(f"warmcell: {error.message}", err=True)
            if error.hint:
                click.echo(f"hint: {error.hint}", err=True)
            context.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="warmcell")
def main() -> None:
    """Run notebook cells on warm GPU workers."""


@main.command()
@click.option("--simulate", metavar="MODEL:COUNT", help="Declare devices for trial, as A100:2.")
@click.option("--engine", help="What starts workers [default: process]; docker runs each in a container.")
@click.option("--engine-options", metavar="NAME=VALUE,...", help="The engine's own, as memory=8g,cpus=2.")
@click.option("--lease-memory", type=Share(), metavar="20GB", help="Share of a device of a session that names none.")
@click.option("--foreground", is_flag=True, help="Stay in the foreground, for service managers.")
@click.option("--host", help="Address to listen on [default: 127.0.0.1]; on others it speaks TLS.")
@click.option("--http-port", type=click.IntRange(1, 65535), help="Port for HTTP [default: any free one].")
@click.option("--grpc-port", type=click.IntRange(1, 65535), help="Port for gRPC [default: any free one].")
@click.option("--tls-name", "tls_names", multiple=True, help="A name its own certificate is for, beside the machine's.")
@click.option("--tls-cert", type=_FILE, help="PEM certificate chain.")
@click.option("--tls-key", type=_FILE, help="PEM private key.")
@click.option("--config", type=_FILE, help="What is allowed, such as mounts [default: gateway.toml in --state].")
@click.option("--idle-exit-s", type=click.FloatRange(min=0), help="End after so many idle seconds; 0: never.")
@_state
@_json
def up(state: str | None, as_json: bool, foreground: bool, **options: Any) -> None:
    """Start this machine's runtime and wait until it is ready; one that runs already is as good."""
    settings = replace(load_settings({"home": state}), url="")
    given = {name: value for name, value in options.items() if value not in (None, ())}
    asked = embedded.Launch(home=settings.home, **given)
    launch = replace(embedded.launch_of(settings), **given)
    if foreground:
        _become(launch, as_json)
    gateway, started = embedded.find_or_start(launch)
    if not started:
        facts.require_same(asked, _describe(settings))
    if as_json:
        _print({"grpc": gateway.grpc, "http": gateway.http, "token": gateway.token, **facts.tls(gateway)})
    else:
        click.echo(f"warmcell is {'up' if started else 'already up'}: {gateway.http} (pid {gateway.pid})")
        click.echo(facts.tls_text(gateway), nl=False)


@main.command()
@click.option("--force", is_flag=True, help="Stop running cells too.")
@_state
@_json
def down(state: str | None, as_json: bool, force: bool) -> None:
    """Stop this machine's runtime with all its sessions."""
    settings = replace(load_settings({"home": state}), url="")
    gateway = embedded.find(settings.home)
    if gateway is None:
        _print({"stopped": []}) if as_json else click.echo(f"no runtime runs on {settings.home}")
        return
    stopped = _stop(settings, gateway, force)
    if as_json:
        _print({"stopped": [plain(session) for session in stopped]})
    else:
        names = ", ".join(session.name for session in stopped)
        click.echo("warmcell is down" + (f"; sessions ended: {names}" if names else ""))


@main.command("connect")
@click.argument("where", required=False)
@_state
@_json
def connect_to(where: str | None, state: str | None, as_json: bool) -> None:
    """Go to the runtime at WHERE: ssh://user@host, an https address, or `local`; alone, say where cells run.

    Kernels that start from now on go there too.
    """
    settings = load_settings({"home": state, "url": None if where in (None, connecting.LOCAL) else where})
    found = {"url": settings.url} if where is None else connecting.go(where, settings, _say(as_json))
    _print(found) if as_json else click.echo(connecting.sentence(found))


@main.command()
@_state
@_json
def status(state: str | None, as_json: bool) -> None:
    """Show what the runtime has and who holds it."""
    info = _describe(_settings(state))
    _print(plain(info)) if as_json else click.echo(facts.status_text(info))


@main.command()
@_state
@_json
def ps(state: str | None, as_json: bool) -> None:
    """List sessions and runs."""
    info = _describe(_settings(state))
    if as_json:
        _print({"sessions": [plain(session) for session in info.sessions]})
    else:
        click.echo(facts.sessions_text(info))


@main.command()
@click.argument("run", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on as more comes.")
@_state
@_json
def logs(run: str | None, follow: bool, state: str | None, as_json: bool) -> None:
    """Replay the output of RUN; without RUN, show the end of the gateway's own log."""
    settings = _settings(state)
    if run is None:
        for line in replay.gateway_log(settings, follow):
            _print({"line": line}) if as_json else click.echo(line)
        return
    for event in replay.run_events(_reach(settings), run, follow):
        _print(plain(event)) if as_json else _show(event)


@main.command()
@_state
@_json
def doctor(state: str | None, as_json: bool) -> None:
    """Check everything that a first cell needs, and say how to mend what is wrong."""
    findings = checks.examine(lambda: _settings(state))
    if as_json:
        _print({"findings": [asdict(finding) for finding in findings]})
    else:
        click.echo(checks.text(findings))
    if any(finding.state == "fail" for finding in findings):
        sys.exit(1)


main.add_command(keeping.secret)
main.add_command(keeping.volume)


def _stop(settings: Settings, gateway: statedir.Gateway, force: bool) -> Sequence[pb.SessionInfo]:
    """Stop a gateway and wait until its process is gone; forced, one that does not answer is killed."""
    try:
        runtime = _reach(settings)
        facts.require_idle(runtime.describe(), force)
        stopped = runtime.stop(force).stopped
    except RuntimeUnavailable:
        if not force:
            raise
        statedir.kill(gateway)
        return ()
    runtime.close()
    statedir.wait_gone(gateway)
    statedir.tidy(gateway)
    return stopped


def _reach(settings: Settings) -> Runtime:
    return connect(settings, start=False)


def _describe(settings: Settings) -> pb.RuntimeInfo:
    runtime = _reach(settings)
    try:
        return runtime.describe()
    finally:
        runtime.close()


def _become(launch: embedded.Launch, as_json: bool) -> NoReturn:
    """Turn this process into the gateway; its ready line goes to our stdout."""
    statedir.prepare(launch.home)
    facts.require_none(launch, embedded.find(launch.home))
    ready = os.dup(1) if as_json else None
    if ready is not None:
        os.set_inheritable(ready, True)
    sys.stdout.flush()
    command = launch.command(ready)
    os.execve(command[0], command, embedded.environment())


def _say(as_json: bool) -> Callable[[str], None]:
    return lambda sentence: None if as_json else click.echo(f"{sentence} …", err=True)


def _show(event: pb.Event) -> None:
    for text, to_stderr in replay.lines(event):
        click.echo(text, nl=False, err=to_stderr)


for _command in team.COMMANDS:
    main.add_command(_command)
