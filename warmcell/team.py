"""The commands of a team: `login`, `logout`, `user add | token | list | revoke`, `stop`, `init`.

    words -> kernel_proxy.trust, admin -> one sentence, a table, or one line of JSON

A token is printed once, on stdout alone, by whoever makes it; it is asked for without an echo, or read from stdin.
"""

from __future__ import annotations

import getpass
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from kernel_proxy import admin, embedded, logins, trust
from kernel_proxy.errors import SettingsError
from kernel_proxy.settings import Settings, load_settings
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.versions import VERSION
from warmcell import install
from warmcell.options import Duration, json_option, print_json, settings_of, state_option
from warmcell.tables import plain, table, when

SCOPES = ("run", "publish", "admin")
_scope = click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="What it may do, repeatable [default: run]."
)
_expires = click.option("--expires", type=Duration(), help="How long it is good, as 30d [default: for ever].")


@click.command()
@click.argument("url")
@click.option("--token-stdin", is_flag=True, help="Read the token from stdin instead of asking.")
@click.option("--ca", default="", type=click.Path(dir_okay=False), help="File with the runtime's authority.")
@click.option("--fingerprint", default="", help="SHA-256 that the runtime's certificate authority must have.")
@state_option
@json_option
def login(url: str, state: str | None, as_json: bool, **options: Any) -> None:
    """Use the runtime at URL from now on, in every kernel of this user."""
    home, url = load_settings({"home": state}).home, logins.plain_url(url)
    confirm = _nobody_to_ask if options["token_stdin"] else _confirm
    ca_file = trust.authority(url, home, options["ca"], options["fingerprint"], confirm)
    text = sys.stdin.readline() if options["token_stdin"] else getpass.getpass(f"token for {url}: ")
    try:
        found, caller = trust.log_in(url, text.strip(), ca_file, home)
    except BaseException:
        trust.drop_ca(home, ca_file)
        raise
    if as_json:
        print_json({"url": found.url, "user": caller.user, "scopes": list(caller.scopes), "ca": found.ca_file})
        return
    until = f", until {when(caller.expires_at)}" if caller.HasField("expires_at") else ""
    click.echo(f"logged in to {found.url} as {caller.user} ({', '.join(caller.scopes)}{until})")


def _confirm(fingerprint: str) -> bool:
    click.echo("this runtime's certificate is signed by its own authority; its SHA-256 fingerprint is\n"
               f"  {fingerprint}\ncompare it with what `warmcell up` has shown on the server", err=True)
    return click.confirm("trust it?", default=False, err=True)


def _nobody_to_ask(fingerprint: str) -> bool:
    raise SettingsError(
        f"the runtime's certificate is signed by its own authority, with the fingerprint {fingerprint}",
        "check it on the server, and give it as --fingerprint; with --token-stdin nobody can be asked",
    )


@click.command()
@click.argument("url", required=False)
@state_option
@json_option
def logout(url: str | None, state: str | None, as_json: bool) -> None:
    """Forget the token of URL, or of the runtime logged in to last; the token itself stays good."""
    home = load_settings({"home": state, "url": ""}).home
    gone = logins.forget(home, url)
    if as_json:
        print_json({"url": gone.url if gone is not None else None})
    elif gone is None:
        click.echo(f"not logged in to {url}" if url else "not logged in to a runtime")
    else:
        click.echo(f"logged out of {gone.url}; the token is good until an admin revokes it")


@click.group()
def user() -> None:
    """Add users of a runtime, list and revoke their tokens; for admins."""


def _give(state: str | None, as_json: bool, new_user: bool, **what: Any) -> None:
    settings = settings_of(state)
    request = pb.AddTokenRequest(
        user=what["name"], scopes=what["scopes"], expires_s=what["expires"] or 0.0, new_user=new_user
    )
    reply = admin.ask(settings, "AddToken", request)
    words = login_words(settings)
    if as_json:
        print_json({**plain(reply.info), "token": reply.token, "login": words})
        return
    until = f"until {when(reply.info.expires_at)}" if reply.info.HasField("expires_at") else "for ever"
    click.echo(f"the token of {reply.info.user}, shown this once:\n\n{reply.token}\n\n"
               f"it may {', '.join(reply.info.scopes)}, {until}; {reply.info.user} logs in with\n\n  {words}")


@user.command()
@click.argument("name")
@_scope
@_expires
@state_option
@json_option
def add(**words: Any) -> None:
    """Add the user NAME with a first token, which is shown once."""
    _give(new_user=True, **words)


@user.command()
@click.argument("name")
@_scope
@_expires
@state_option
@json_option
def token(**words: Any) -> None:
    """Make another token for the user NAME, which is shown once."""
    _give(new_user=False, **words)


@user.command("list")
@click.option("--all", "every", is_flag=True, help="Those that were revoked too.")
@state_option
@json_option
def list_(state: str | None, as_json: bool, every: bool) -> None:
    """List users and their tokens, by the part by which they are recognized."""
    found = admin.ask(settings_of(state), "ListTokens", pb.ListTokensRequest()).tokens
    shown = [one for one in found if every or not one.HasField("revoked_at")]
    if as_json:
        print_json({"tokens": [plain(one) for one in shown]})
    else:
        click.echo(table(("USER", "TOKEN", "SCOPES", "MADE", "ENDS", "LAST USED", ""), map(_row, shown)))


def _row(one: pb.TokenInfo) -> tuple[str | None, ...]:
    def at(name: str) -> str | None:
        return when(getattr(one, name)) if one.HasField(name) else None

    note = "this account's token file" if one.own else f"revoked {at('revoked_at')}" if at("revoked_at") else " "
    return one.user, f"{one.token_id}…" if one.token_id else None, ",".join(one.scopes), at("created_at"), \
        at("expires_at"), at("used_at"), note


@user.command()
@click.argument("what", metavar="NAME|TOKEN-ID")
@click.option("--stop", is_flag=True, help="Stop the user's sessions too.")
@state_option
@json_option
def revoke(what: str, stop: bool, state: str | None, as_json: bool) -> None:
    """End what a user's tokens, or one token, can do: at once, in connections that are open too."""
    asked = pb.RevokeRequest(what=what.rstrip("…"), stop=stop)
    reply = admin.ask(settings_of(state), "Revoke", asked)
    if as_json:
        print_json(plain(reply))
        return
    count = len(reply.revoked)
    text = f"{count} token{'s' if count != 1 else ''} revoked: {', '.join(t.token_id for t in reply.revoked) or '-'}"
    if reply.stopped:
        text += f"; sessions stopped: {', '.join(reply.stopped)}"
    if reply.living:
        text += f"; sessions go on: {', '.join(reply.living)} (`--stop` ends them)"
    click.echo(text)


@click.command()
@click.argument("session", metavar="SESSION|ID")
@click.option("--force", is_flag=True, help="Even while it runs a cell.")
@state_option
@json_option
def stop(session: str, force: bool, state: str | None, as_json: bool) -> None:
    """Release a session, by its name or id; an admin's id may be that of anybody's."""
    request = pb.ReleaseRequest(session=session, force=force)
    reply = admin.ask(settings_of(state), "Release", request)
    if as_json:
        print_json(plain(reply))
        return
    lost = f"; variables lost: {', '.join(reply.lost_names)}" if reply.lost_names else ""
    click.echo(f"session {session} is released{lost}")


def login_words(settings: Settings) -> str:
    """Return the command by which a user reaches a runtime."""
    return " ".join(_login_words(settings))


def _login_words(settings: Settings) -> Iterator[str]:
    gateway = embedded.find(settings.home) if settings.embedded else None
    url, ca = settings.url, settings.ca_file
    if gateway is not None:
        url, ca = gateway.https or gateway.http, gateway.ca
    yield from ("warmcell", "login", url or "URL")
    if ca:
        with suppress(OSError, SettingsError):
            yield from ("--fingerprint", trust.fingerprint(Path(ca).read_text()))


@click.command()
@click.option("--system", "kind", flag_value=install.SYSTEM_UNIT, help="Write a unit for the whole system.")
@click.option("--compose", "kind", flag_value=install.COMPOSE, help="Write compose.yaml here, for the docker engine.")
@click.option("--user", "kind", flag_value=install.USER_UNIT, default=True, help="Write a unit for this user.")
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on.")
@click.option("--name", default=socket.gethostname, help="How clients call this machine [default: its host name].")
@click.option("--http-port", default=install.HTTP_PORT, show_default=True, type=click.IntRange(1, 65535))
@click.option("--grpc-port", default=install.GRPC_PORT, show_default=True, type=click.IntRange(1, 65535))
@click.option("--engine", default="", help="What starts workers [default: process; docker with --compose].")
@click.option("--engine-options", default="", metavar="NAME=VALUE,...", help="The engine's own, as memory=8g,cpus=2.")
@click.option("--admin", "first", default="", help="Name of the first admin [default: this account].")
@click.option("--print", "only_print", is_flag=True, help="Show what would be written, and write nothing.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@state_option
@json_option
def init(state: str | None, as_json: bool, only_print: bool, force: bool, first: str, **words: Any) -> None:
    """Have this machine serve a team: a service, a first admin, and what to do next."""
    home = load_settings({"home": state, "url": ""}).home
    plan = install.Plan(state=home, account=getpass.getuser(), version=VERSION, **words)
    file = install.place(plan, Path.home(), Path.cwd())
    if only_print:
        content = install.text(plan)
        print_json({"file": str(file), "text": content}) if as_json else click.echo(content, nl=False)
        return
    write(file, install.text(plan), force)
    made = _first_admin(Settings(home=home), first or getpass.getuser())
    next_ = install.commands(plan, first or getpass.getuser())
    if as_json:
        print_json({"file": str(file), "token": made, "next": list(next_)})
        return
    told = f"the first admin's token, shown this once:\n\n{made}\n" if made else \
        "there is an admin already; `warmcell user token NAME` makes another token\n"
    click.echo(f"wrote {file}\n\n{told}\nnext:\n  " + "\n  ".join(next_))


def write(file: Path, content: str, force: bool) -> None:
    """Write a file that is not there, or replace one when forced.

    Raises:
        SettingsError: It is there, or cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "w" if force else "x", encoding="utf-8") as out:
            out.write(content)
    except FileExistsError as error:
        raise SettingsError(f"{file} is there already", "look at it; --force replaces it") from error
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error.strerror}",
                            "run it as a user who may, or see it with --print") from error


def _first_admin(settings: Settings, name: str) -> str:
    """Return a first admin's new token; "" where there is an admin who has one."""
    known = admin.ask(settings, "ListTokens", pb.ListTokensRequest()).tokens
    if any("admin" in one.scopes and not one.own and not one.HasField("revoked_at") for one in known):
        return ""
    is_known = any(one.user == name and not one.HasField("revoked_at") for one in known)
    return admin.ask(
        settings, "AddToken", pb.AddTokenRequest(user=name, scopes=["admin"], new_user=not is_known)
    ).token


COMMANDS: Sequence[click.Command] = (login, logout, user, stop, init)
