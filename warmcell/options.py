"""What several commands share: options, how JSON is printed, and which runtime is meant."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from kernel_proxy.settings import Settings, load_settings
from remote_runtime.wire.targets import format_size, parse_share

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


class Duration(click.ParamType):
    """A time such as `30d`, `12h` or `90s`, as seconds; a bare number is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See click."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw]?)", str(value).strip())
        if found is None or float(found[1]) <= 0:
            self.fail(f"{value!r} is no duration; write it as 30d, 12h, 10m or 90s", param, ctx)
        return float(found[1]) * _UNITS[found[2] or "s"]


class Share(click.ParamType):
    """A share of a device's memory such as `20GB`, as text that the gateway reads."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See click."""
        try:
            return format_size(parse_share(str(value)))
        except ValueError as error:
            self.fail(str(error).replace("\nhint: ", "; "), param, ctx)


def state_option(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command name a state directory."""
    option = click.option(
        "--state",
        type=click.Path(file_okay=False),
        help="State directory of this machine's runtime [default: WARMCELL_HOME, else ~/.warmcell].",
    )
    return option(command)


def json_option(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command print JSON."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(command)


def print_json(value: Any) -> None:
    """Print one line of JSON."""
    click.echo(json.dumps(value))


def settings_of(state: str | None) -> Settings:
    """Return the settings of the runtime that is meant: a directory that was named wins over any address."""
    settings = load_settings({"home": state})
    return replace(settings, url="") if state else settings
