"""The parts that an image is put together from here, before its files are read and its secrets are sent.

    arguments of a builder -> Draft(step, what it takes from here) -> Image -> Plan(spec, sources, secrets, logins)

A password in the address of an index is taken out of it: the spec has the address without it, and the password travels
beside the spec as a login for that host.
"""

from __future__ import annotations

import netrc
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from kernel_proxy.errors import ImageError
from kernel_proxy.image_files import Local
from remote_runtime.wire.images import Content, ImageSpec, Login, Step

_ADDRESS = re.compile(r"(?:[A-Za-z0-9.+-]+)://[^\s\"']+")
_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)[\s=]+(?P<path>\S+)")
_LOCAL_PROJECT = re.compile(r"(?:-e|--editable)[\s=]|\.{1,2}/|/|file:")


@dataclass(frozen=True)
class Draft:
    """A step, and what of this machine goes into it.

    Args:
        step: As far as it is known before files are read.
        locals: Files and folders that are read when the image is built.
        content: Files that are not on a disk.
        secrets: Variables of the step, with their values.
        logins: For the hosts that it installs from.
    """

    step: Step
    locals: tuple[Local, ...] = ()
    content: tuple[tuple[Content, bytes], ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    logins: tuple[Login, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All that a build takes.

    Args:
        spec: What the image is.
        sources: Digest -> where its content is: a file's path, or the content itself.
        secrets: Variables that steps name.
        logins: For the hosts that steps install from.
    """

    spec: ImageSpec
    sources: Mapping[str, Path | bytes]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    logins: tuple[Login, ...] = ()


@dataclass(frozen=True)
class Install:
    """What pip or uv is asked, with the passwords taken out.

    Args:
        kind: "pip" or "uv".
        words: Requirements.
        options: Further words.
        secrets: Variables for the tool alone.
    """

    kind: str
    words: Sequence[str]
    options: Sequence[str] = ()
    secrets: object = ()

    def draft(self, nonce: str = "") -> Draft:
        """Return the step.

        Raises:
            ImageError: A requirement is not one line of text.
        """
        logins: dict[str, Login] = {}
        words, options = (tuple(without_login(word, logins) for word in part) for part in (self.words, self.options))
        hosts = {urlsplit(found).hostname or "" for word in (*words, *options) for found in _ADDRESS.findall(word)}
        for host in sorted(hosts - set(logins) - {""}):
            login = _of_netrc(host)
            if login is not None:
                logins[host] = login
        secrets = secrets_of(self.secrets)
        step = Step(self.kind, words, options, secrets=tuple(sorted(secrets)), nonce=nonce)
        return Draft(step, secrets=secrets, logins=tuple(logins.values()))


def options_of(
    find_links: str | None, index_url: str | None, extra_index_url: str | Sequence[str] | None, pre: bool, more: str
) -> tuple[str, ...]:
    """Return the words by which pip and uv take these wishes."""
    extra = (extra_index_url,) if isinstance(extra_index_url, str) else tuple(extra_index_url or ())
    named = [("--find-links", find_links), ("--index-url", index_url), *(("--extra-index-url", url) for url in extra)]
    words = [word for name, value in named if value for word in (name, value)]
    return (*words, *(("--pre",) if pre else ()), *shlex.split(more))


def flat(words: Iterable[str | Sequence[str]], what: str) -> tuple[str, ...]:
    """Return the texts of arguments that are texts or lists of texts.

    Raises:
        ImageError: One of them is neither, or there is none.
    """
    found: list[str] = []
    for word in words:
        found += list(word) if isinstance(word, (list, tuple)) else [word]
    wrong = next((word for word in found if not isinstance(word, str) or not word.strip()), None)
    if wrong is not None or not found:
        said = f"{wrong!r} is no {what}" if found else f"no {what} is given"
        raise ImageError(said, f"give each {what} as a string")
    return tuple(word.strip() for word in found)


def secrets_of(given: object) -> dict[str, str]:
    """Return variables and values of what `secrets=[…]` holds.

    Args:
        given: Mappings, names of variables of this kernel's environment, and objects with a `variables` mapping.

    Raises:
        ImageError: One is of no such kind, or the variable is not set.
    """
    found: dict[str, str] = {}
    for secret in given if isinstance(given, (list, tuple)) else (given,):
        values = getattr(secret, "variables", secret)
        if isinstance(values, str):
            if values not in os.environ:
                raise ImageError(f"the variable {values} is not set here, and a step of the image wants it",
                                 f"set it: `os.environ[{values!r}] = …`, or give a dict")  # fmt: skip
            values = {values: os.environ[values]}
        if not isinstance(values, Mapping):
            raise ImageError(f"{type(secret).__name__} is no secret of a build", "give a dict, or a variable's name")
        found.update({str(name): str(value) for name, value in values.items()})
    return found


def without_login(text: str, logins: dict[str, Login]) -> str:
    """Return a text without the passwords in its addresses, which are put among the logins."""

    def bare(match: re.Match[str]) -> str:
        parts = urlsplit(match[0])
        if "@" not in parts.netloc or parts.hostname is None:
            return match[0]
        who, _, where = parts.netloc.rpartition("@")
        user, _, password = who.partition(":")
        if "ssh" not in parts.scheme:  # its name before the @ is no secret, and no netrc has it
            logins[parts.hostname] = Login(parts.hostname, unquote(user), unquote(password))
            return urlunsplit(parts._replace(netloc=where))
        return match[0]

    return _ADDRESS.sub(bare, text)


def _of_netrc(host: str) -> Login | None:
    """Return what this user's netrc file has for a host; one that cannot be read has nothing."""
    file = os.environ.get("NETRC") or os.path.expanduser("~/.netrc")
    with suppress(OSError, netrc.NetrcParseError):
        found = netrc.netrc(file).hosts.get(host)  # a `default` entry is not meant for whatever host an image names
        return Login(host, found[0], found[2]) if found else None
    return None


def requirements_in(path: Path) -> tuple[list[str], list[str]]:
    """Return requirements and options of a requirements file, those that it includes among them.

    Raises:
        ImageError: It cannot be read, or names a project of this machine.
    """
    words: list[str] = []
    options: list[str] = []
    for line in _lines(path):
        include = _INCLUDE.fullmatch(line)
        if include is not None and line.startswith(("-c", "--constraint")):
            raise ImageError(f"{path} has constraints of another file: `{line}`",
                             "write the versions beside the packages")  # fmt: skip
        if include is not None:
            more_words, more_options = requirements_in(path.parent / include["path"])
            words += more_words
            options += more_options
        elif _LOCAL_PROJECT.match(line):
            raise ImageError(f"{path} names a project of this machine: `{line}`",
                             "leave it out: what cells import of an editable install travels by itself")  # fmt: skip
        elif line.startswith("-"):
            options += shlex.split(line.replace("=", " ", 1) if line.startswith("--") else line)
        else:
            words.append(line)
    return words, options


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"the requirements file {path} cannot be read: {error}", "check the path") from error
    joined = re.sub(r"\\\r?\n", " ", text)
    bare = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in joined.splitlines())
    return [line for line in bare if line]
