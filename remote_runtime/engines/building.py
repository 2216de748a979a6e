"""What builds images: a spec becomes something that workers of one engine can run in.

    gateway --build(order, say)--> Builder: each layer that lacks, one after the other --> Built
                                     say(StepBegun | a line of the log) --> the notebook

Each engine has a builder of its own, or none. A builder runs one build of a digest at a time: its caller joins builds
of the same image. Layers that are there are never made again.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from remote_runtime.wire.failures import Failed
from remote_runtime.wire.images import Content, ImageSpec, Login, Step

LAST_LINES = 12
"""Of a step that failed, how much of its log the message shows."""

_USERINFO = re.compile(r"(?<=://)[^\s/@'\"]+(?=@)")
_SHORTEST = 3


@dataclass(frozen=True)
class Context:
    """What a build takes beside its spec.

    Args:
        folder: Where files lie, by their digests.
        secrets: Values of the variables that steps name.
        logins: For the hosts that steps install from.
    """

    folder: Path
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    logins: tuple[Login, ...] = ()

    def path(self, file: Content) -> Path:
        """Return where a file's content lies."""
        return self.folder / file.digest


@dataclass(frozen=True)
class StepBegun:
    """A step of a build that begins.

    Args:
        number: From 1.
        count: Of steps.
        title: In words.
        reused: Whether its layer was there.
    """

    number: int
    count: int
    title: str
    reused: bool = False


@dataclass(frozen=True)
class Built:
    """An image that is there.

    Args:
        digest: The spec's.
        python: Minor version in it; "" where that is not known.
        added: "name version" of packages that its parent does not have.
        changed: "name old -> new" of those in another version.
        live: Folders by which a running session of the parent gets what was added; none where it cannot.
    """

    digest: str
    python: str = ""
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    live: tuple[str, ...] = ()


Say = Callable[["StepBegun | str"], None]


class Builder(ABC):
    """Builds the images of one engine."""

    @abstractmethod
    async def check(self, spec: ImageSpec) -> None:
        """Refuse what can never be built here, before anything is sent or begun.

        Raises:
            Failed: code "unsupported", with the reason.
        """

    @abstractmethod
    async def find(self, digest: str) -> Built | None:
        """Return an image that is there, None where it must be built."""

    @abstractmethod
    def lacks(self, spec: ImageSpec) -> tuple[Content, ...]:
        """Return the files that the layers take which are not there."""

    @abstractmethod
    async def build(self, spec: ImageSpec, context: Context, say: Say) -> Built:
        """Build an image; a cancelled build ends what it has started, and leaves whole layers alone.

        Args:
            spec: What it is.
            context: With every file that `lacks` has told.
            say: Told each step as it begins, and each line of the log.

        Raises:
            Failed: code "image", where a step failed: the message has its last lines; "disk-full"; "unavailable".
        """

    @abstractmethod
    async def compare(self, built: Built, parent: str) -> Built:
        """Return an image with what it has more than another one: `added`, `changed`, and `live` where it can be.

        Args:
            built: The image.
            parent: Digest of the other; "" is the runtime's own environment.
        """

    def furnish(self, digest: str, directory: Path) -> None:  # noqa: B027 - an engine may have nothing to do here
        """Put an image's files with relative paths into a session's working directory; what is there stays.

        Args:
            digest: Of the image.
            directory: The session's.
        """


def differing(built: Built, packages: Mapping[str, str], before: Mapping[str, str]) -> Built:
    """Return an image with what it has more than another one.

    Args:
        built: The image.
        packages: Name -> version of what it has.
        before: The same of the other.
    """
    added = tuple(f"{name} {version}" for name, version in packages.items() if name not in before)
    changed = tuple(f"{n} {before[n]} -> {v}" for n, v in packages.items() if before.get(n, v) != v)
    return replace(built, added=added, changed=changed)


class Redactor:
    """Takes secrets out of what is shown.

    Args:
        values: The secrets.
    """

    def __init__(self, values: Iterable[str]) -> None:
        lines = {line for value in values for line in (value, *value.splitlines()) if len(line) >= _SHORTEST}
        found = sorted({*lines, *map(_quoted, lines)}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, found))) if found else None

    def __call__(self, text: str) -> str:
        """Return a text without them, and without passwords in addresses."""
        text = self._pattern.sub("***", text) if self._pattern is not None else text
        return _USERINFO.sub("***", text)


def _quoted(text: str) -> str:
    """Return a text as it stands in an address."""
    return "".join(c if c.isalnum() or c in "-._~" else "".join(f"%{b:02X}" for b in c.encode()) for c in text)


def redactor_of(context: Context) -> Redactor:
    """Return what takes the secrets of a build out of its log."""
    return Redactor([*context.secrets.values(), *(login.password or login.user for login in context.logins)])


@dataclass(frozen=True)
class Work:
    """One step on its way.

    Args:
        step: Which.
        begun: How it was announced.
        context: Of the build.
        say: Hears its log.
        redact: Takes secrets out of it.
    """

    step: Step
    begun: StepBegun
    context: Context
    say: Say
    redact: Redactor

    def tell(self, line: str) -> None:
        """Pass a line of the log on, secrets left out."""
        self.say(self.redact(line))

    def secrets(self) -> dict[str, str]:
        """Return the variables that the step wants, with their values.

        Raises:
            Failed: code "image", where the value of one was not sent.
        """
        lacking = [name for name in self.step.secrets if name not in self.context.secrets]
        if lacking:
            raise Failed("image", f"step {self.begun.number}, `{self.begun.title}`, wants the secret {lacking[0]}, and "
                         "its value was not sent", "give it by `secrets=[…]`")  # fmt: skip
        return {name: self.context.secrets[name] for name in self.step.secrets}


def failed_step(begun: StepBegun, code: int | None, lines: Iterable[str]) -> Failed:
    """Return the failure of a step.

    Args:
        begun: The step.
        code: Exit code; None where there is none.
        lines: Of its log, secrets left out.
    """
    last = [line for line in lines if line.strip()][-LAST_LINES:]
    text = "\n".join(last)
    where = f"step {begun.number} of {begun.count}, `{begun.title}`"
    detail = {"step": begun.title, "log": text}
    if "No space left on device" in text or "os error 28" in text:
        return Failed("disk-full", f"a disk of the runtime is full: {where}, could not be written\n{text}".rstrip(),
                      "make room there, and build the image again: whole layers are kept", detail)  # fmt: skip
    how = f" with exit code {code}" if code is not None else ""
    return Failed("image", f"{where}, failed{how}\n{text}".rstrip(),
                  "mend the step and build again: the steps before it are kept", detail)  # fmt: skip
