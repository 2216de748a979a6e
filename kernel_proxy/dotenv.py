r"""Variables in a `.env` file: text -> names and values.

    export NAME=value   # comment
    NAME="in double quotes, with \n and \""      NAME='as it stands'
"""

from __future__ import annotations

import re

from kernel_proxy.errors import SettingsError
from kernel_proxy.hidden import Hidden
from remote_runtime.wire.settingnames import VARIABLE

_LINE = re.compile(
    rf"""\s*(?:export\s+)?(?P<name>{VARIABLE.pattern})\s*=\s*
    (?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)'|(?P<plain>[^\#'"\s][^\n]*?|)(?=\s*$|\s+\#))
    \s*(?:\#.*)?$""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


def variables(text: str, where: str) -> dict[str, str]:
    """Return the variables of a file's text.

    Args:
        text: What it holds.
        where: Its path, for messages; a value is in none of them.

    Raises:
        SettingsError: A line cannot be read.
    """
    found: dict[str, str] = {}
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        begun = number
        while (match := _LINE.fullmatch(line)) is None and line.count('"') % 2:
            number, more = next(lines, (number, None))
            if more is None:
                break
            line += f"\n{more}"
        if match is None:
            raise SettingsError(f"line {begun} of {where} is not NAME=VALUE", "correct that line, or remove it")
        found[match["name"]] = Hidden(_value(match))
    return found


def _value(match: re.Match[str]) -> str:
    if match["double"] is not None:
        return re.sub(r"\\(.)", lambda escaped: _ESCAPED.get(escaped[1], escaped[1]), match["double"], flags=re.DOTALL)
    return match["single"] if match["single"] is not None else match["plain"]
