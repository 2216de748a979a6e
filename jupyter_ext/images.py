"""Images in the notebook: what `--image NAME` names is built, its log shown, and sessions are opened in it.

    NAME -> a variable that holds an Image, a requirements file, a Dockerfile, or a tag -> Image -> build -> Environment

A session keeps the image that it was opened with. What was chosen since holds for the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from jupyter_ext.building import BuildScreen
from jupyter_ext.connection import Connection
from jupyter_ext.grammar import GrammarError
from kernel_proxy.image import Image
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.specs import Environment

NONE = "none"
"""`--image none` goes back to the runtime's own environment."""

_REQUIREMENTS = (".txt", ".in", ".pip")

@dataclass(frozen=True)
class Chosen:
    """An image that is there.

    Args:
        name: As the notebook calls it.
        image: Its steps; None for the runtime's own environment.
        built: As the gateway tells it.
    """

    name: str
    image: Image | None
    built: pb.Built

    def environment(self, before: Environment) -> Environment:
        """Return an environment with this image in the place of another."""
        return replace(before, image=self.built.digest)

    @property
    def title(self) -> str:
        """The image in one line."""
        if self.image is None:
            return "the runtime's own environment"
        python = f", python {self.built.python}" if self.built.python else ""
        return f"{self.name} ({self.built.digest[:12]}{python})"


def choose(connection: Connection, word: str) -> Chosen:
    """Find what `--image` names, and build it.

    Raises:
        GrammarError: The word names no image.
        WarmcellError: It cannot be built.
    """
    if word == NONE:
        return Chosen(NONE, None, pb.Built())
    return built(connection, word, _named(connection, word))


@contextmanager
def in_image(connection: Connection, word: str | None) -> Iterator[None]:
    """Let a cell run in a session of another image than the notebook's; nothing changes for the cells after it."""
    if not word:
        yield
        return
    before = connection.defaults
    environment = choose(connection, word).environment(before.wishes.environment)
    connection.defaults = replace(before, wishes=replace(before.wishes, environment=environment), later=None)
    try:
        yield
    finally:
        connection.defaults = before


def built(connection: Connection, name: str, image: Image, parent: str = "") -> Chosen:
    """Build an image, showing its log.

    Args:
        connection: To the runtime, which is started if need be.
        name: As the notebook calls it.
        image: What.
        parent: Digest of the image to compare with; "" is the runtime's own environment.

    Raises:
        WarmcellError: It cannot be built.
    """
    plan, screen = image.plan(), BuildScreen(connection.shell, connection.traits.status_line)
    try:
        answer = connection.runtime(lambda sentence: None).build(plan, screen, parent)
    except BaseException:  # an interrupt too: the log stays for whoever asks how far it came
        screen.failed()
        raise
    if screen.has_built:
        screen.done(answer, name)
    return Chosen(name, image, answer)


def _named(connection: Connection, word: str) -> Image:
    value = connection.namespace.get(word)
    if isinstance(value, Image):
        return value
    if value is not None:
        raise GrammarError(f"`{word}` is {_article(type(value).__name__)}, and `--image` wants an Image",
                           "make one: `from warmcell import Image`, `Image.debian_slim().pip_install(…)`")  # fmt: skip
    path = Path(word).expanduser()
    if path.is_file() and path.name.lower().startswith("dockerfile"):
        return Image.from_dockerfile(path, context_dir=path.parent)
    if path.is_file() or word.endswith(_REQUIREMENTS):
        return Image.debian_slim().pip_install_from_requirements(path)
    if word.isidentifier() and not any(mark in word for mark in ":/"):
        raise GrammarError(f"`{word}` is no variable of this notebook, no file, and no tag with a version",
                           f"define it: `{word} = Image.debian_slim()`; a tag is such as `{word}:latest`")  # fmt: skip
    return Image.from_local(word)


def _article(name: str) -> str:
    return f"an {name}" if name[0].lower() in "aeiou" else f"a {name}"
