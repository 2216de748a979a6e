"""`Image`: what workers run in, put together step by step; nothing is built before it is used.

    Image.debian_slim().pip_install("pandas").env({…}) -> Image -> plan() -> Plan(spec, sources, secrets) -> the gateway

An image never changes: each method returns a new one that goes on from this one, and shares its layers. Names and
defaults are those of Modal's SDK.
"""

from __future__ import annotations

import hashlib
import re
import secrets as random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kernel_proxy import image_files, image_function
from kernel_proxy.errors import ImageError
from kernel_proxy.gates import SECRET_WORDS, words
from kernel_proxy.image_files import Ignore, Local, ignoring, nothing
from kernel_proxy.image_steps import Draft, Install, Login, Plan, flat, options_of, requirements_in, secrets_of
from remote_runtime.wire.images import DOCKERFILE, LOCAL, REGISTRY, SLIM, Base, Content, ImageSpec, Step

_VERSION = re.compile(r"(\d+\.\d+)(?:\.\d+)?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Image:
    """What workers run in; made by `Image.debian_slim()` and the other beginnings.

    Args:
        base: What it starts from.
        drafts: Its steps.
        context: Files of the base.
    """

    def __init__(self, base: Base, drafts: tuple[Draft, ...] = (), context: tuple[Local, ...] = ()) -> None:
        self._base, self._drafts, self._context = base, drafts, context

    # -- beginnings -----------------------------------------------------------------------------------------

    @classmethod
    def debian_slim(cls, python_version: str | None = None) -> Image:
        """Begin with a plain Python.

        Args:
            python_version: Such as "3.11"; None for this kernel's, which is the one that values travel to.
        """
        return cls(Base(SLIM, python=_minor(python_version or ".".join(map(str, sys.version_info[:2])))))

    @classmethod
    def from_registry(cls, tag: str, *, add_python: str | None = None) -> Image:
        """Begin with an image of a registry.

        Args:
            tag: Such as "nvidia/cuda:12.4.1-runtime-ubuntu22.04".
            add_python: Version of Python that is put into it; None where it has one.
        """
        return cls(Base(REGISTRY, _tag(tag), _minor(add_python) if add_python else ""))

    @classmethod
    def from_local(cls, tag: str) -> Image:
        """Begin with an image that the runtime's engine has already."""
        return cls(Base(LOCAL, _tag(tag)))

    @classmethod
    def from_dockerfile(
        cls,
        path: str | Path,
        *,
        context_dir: str | Path | None = None,
        add_python: str | None = None,
        ignore: Sequence[str] | Ignore = (),
    ) -> Image:
        """Begin with what a Dockerfile makes.

        Args:
            path: The Dockerfile.
            context_dir: Folder that its COPY takes files from; None where it takes none.
            add_python: Version of Python that is put into it; None where it has one.
            ignore: What of the folder stays here.
        """
        context = [Local(Path(path), "Dockerfile")]
        if context_dir is not None:
            context.append(Local(Path(context_dir), "context", ignoring(ignore)))
        base = Base(DOCKERFILE, str(path), _minor(add_python) if add_python else "")
        return cls(base, context=tuple(context))

    # -- packages -------------------------------------------------------------------------------------------

    def pip_install(
        self,
        *packages: str | list[str],
        find_links: str | None = None,
        index_url: str | None = None,
        extra_index_url: str | Sequence[str] | None = None,
        pre: bool = False,
        extra_options: str = "",
        force_build: bool = False,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[object] = (),
    ) -> Image:
        """Install packages by pip.

        Args:
            packages: Requirements, such as "pandas>=2".
            find_links: Page or folder of the runtime with archives.
            index_url: Index in place of the runtime's own; a password in it reaches no layer and no log.
            extra_index_url: Indexes beside it.
            pre: Whether versions count that are not final.
            extra_options: Further words for pip.
            force_build: Build the layer anew, though the same step was built before.
            env: Variables, as by `env`.
            secrets: Dicts, or names of variables of this kernel: set for this step alone.
        """
        options = options_of(find_links, index_url, extra_index_url, pre, extra_options)
        return self._installed(Install("pip", flat(packages, "package"), options, list(secrets)), env, force_build)

    def uv_pip_install(
        self,
        *packages: str | list[str],
        requirements: Sequence[str] = (),
        find_links: str | None = None,
        index_url: str | None = None,
        extra_index_url: str | Sequence[str] | None = None,
        pre: bool = False,
        extra_options: str = "",
        force_build: bool = False,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[object] = (),
    ) -> Image:
        """Install packages by uv where the runtime has it, else by pip.

        Args:
            packages: Requirements, such as "pandas>=2".
            requirements: Requirements files.
            find_links: Page or folder of the runtime with archives.
            index_url: Index in place of the runtime's own; a password in it reaches no layer and no log.
            extra_index_url: Indexes beside it.
            pre: Whether versions count that are not final.
            extra_options: Further words for uv.
            force_build: Build the layer anew, though the same step was built before.
            env: Variables, as by `env`.
            secrets: Dicts, or names of variables of this kernel: set for this step alone.
        """
        words, options = list(packages), list(options_of(find_links, index_url, extra_index_url, pre, extra_options))
        for file in requirements:
            more, found = requirements_in(Path(file))
            words.append(more)
            options += found
        return self._installed(Install("uv", flat(words, "package"), options, list(secrets)), env, force_build)

    def pip_install_from_requirements(
        self,
        requirements_txt: str | Path,
        find_links: str | None = None,
        *,
        index_url: str | None = None,
        extra_index_url: str | Sequence[str] | None = None,
        pre: bool = False,
        extra_options: str = "",
        force_build: bool = False,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[object] = (),
    ) -> Image:
        """Install what a requirements file of this machine lists; it is read now.

        Args:
            requirements_txt: Its path.
            find_links: As for `pip_install`, and so are the others.
            index_url: Index in place of the runtime's own.
            extra_index_url: Indexes beside it.
            pre: Whether versions count that are not final.
            extra_options: Further words for pip.
            force_build: Build the layer anew.
            env: Variables, as by `env`.
            secrets: Set for this step alone.
        """
        words, found = requirements_in(Path(requirements_txt))
        options = (*options_of(find_links, index_url, extra_index_url, pre, extra_options), *found)
        return self._installed(Install("pip", flat(words, "package"), options, list(secrets)), env, force_build)

    def apt_install(
        self, *packages: str | list[str], force_build: bool = False, env: Mapping[str, str] | None = None,
        secrets: Sequence[object] = (),
    ) -> Image:  # fmt: skip
        """Install Debian packages; runtimes whose workers are processes cannot, and say so."""
        return self._with(env, _draft("apt", flat(packages, "package"), secrets, force_build))

    # -- commands -------------------------------------------------------------------------------------------

    def run_commands(
        self, *commands: str | list[str], force_build: bool = False, env: Mapping[str, str] | None = None,
        secrets: Sequence[object] = (),
    ) -> Image:  # fmt: skip
        """Run shell commands, one after the other; the first that fails ends the build."""
        return self._with(env, _draft("run", flat(commands, "command"), secrets, force_build))

    def run_function(
        self,
        raw_f: Callable[..., Any],
        *,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        force_build: bool = False,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[object] = (),
    ) -> Image:
        """Run a function in the image, to fetch a model's weights, for example; what it returns is dropped.

        Args:
            raw_f: The function. The image is another one when its code changes, or what its code mentions.
            args: Its arguments.
            kwargs: Its arguments by name.
            force_build: Run it again, though the same step was built before.
            env: Variables, as by `env`.
            secrets: Dicts, or names of variables of this kernel: set for this step alone.
        """
        nonce = random.token_hex(8) if force_build else ""
        return self._with(env, image_function.draft(raw_f, args, kwargs or {}, list(secrets), nonce))

    def env(self, vars: Mapping[str, str]) -> Image:
        """Set variables, for the steps that follow and for workers. They are no place for secrets."""
        wrong = next((name for name in vars if not isinstance(name, str) or not _VARIABLE.fullmatch(name)), None)
        if named := [name for name in vars if isinstance(name, str) and words(name) & SECRET_WORDS]:
            raise ImageError(f"the variable {named[0]} is named like a secret, and an image is no place for one",
                             "give it to a session: `%gpu use --secret`, or to one step: `secrets=[…]`")  # fmt: skip
        if wrong is not None or not vars:
            raise ImageError(f"{wrong!r} is no variable's name" if vars else "no variable is given",
                             'write `.env({"NAME": "value"})`')  # fmt: skip
        pairs = tuple((name, str(value)) for name, value in vars.items())
        return self._with(None, Draft(Step("env", pairs=pairs)))

    def workdir(self, path: str | Path) -> Image:
        """Set the folder that relative paths of the steps that follow begin in."""
        return self._with(None, Draft(Step("workdir", (str(path),))))

    # -- files ----------------------------------------------------------------------------------------------

    def add_local_file(self, local_path: str | Path, remote_path: str, *, copy: bool = False) -> Image:
        """Add a file of this machine; it is read when the image is built.

        Args:
            local_path: Where it is here.
            remote_path: Where it goes; one that ends with a slash is a folder, a relative one lies in the working
                directory of every session.
            copy: Accepted; files are part of a layer here in any case.
        """
        here = Path(local_path).expanduser()
        there = f"{remote_path}{here.name}" if remote_path.endswith("/") else remote_path
        return self._with(None, Draft(Step("files"), (Local(here, there),)))

    def add_local_dir(
        self, local_path: str | Path, remote_path: str, *, copy: bool = False, ignore: Sequence[str] | Ignore = ()
    ) -> Image:
        """Add a folder of this machine, with all that is in it; it is read when the image is built.

        Args:
            local_path: Where it is here.
            remote_path: Where it goes; a relative path lies in the working directory of every session.
            copy: Accepted; files are part of a layer here in any case.
            ignore: Patterns of what stays here, such as "*.csv", or a function of the relative path.
        """
        local = Local(Path(local_path).expanduser(), remote_path.rstrip("/") or "/", ignoring(ignore))
        return self._with(None, Draft(Step("files"), (local,)))

    def add_local_python_source(
        self, *modules: str, copy: bool = False, ignore: Sequence[str] | Ignore = image_files.not_source
    ) -> Image:
        """Add local modules, so that they can be imported there.

        Args:
            modules: Names, as they are imported here.
            copy: Accepted; files are part of a layer here in any case.
            ignore: What of a package stays here; what is no `.py` file, unless told otherwise.
        """
        found = tuple(image_files.module_at(name, ignoring(ignore)) for name in flat(modules, "module"))
        return self._with(None, Draft(Step("modules", modules), found))

    # -- what it comes to -----------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Return all that a build takes; files are read.

        Raises:
            ImageError: A file cannot be read.
        """
        sources: dict[str, Path | bytes] = {}
        base = replace(self._base, files=_read(self._context, sources))
        if base.kind == DOCKERFILE:
            text = "\n".join(f"{file.path} {file.digest}" for file in base.files)
            base = replace(base, name=hashlib.sha256(text.encode()).hexdigest())
        steps = []
        for draft in self._drafts:
            sources.update({file.digest: content for file, content in draft.content})
            files = (*draft.step.files, *_read(draft.locals, sources))
            steps.append(replace(draft.step, files=files))
        secrets = {name: value for draft in self._drafts for name, value in draft.secrets.items()}
        logins: dict[str, Login] = {login.host: login for draft in self._drafts for login in draft.logins}
        return Plan(ImageSpec(base, tuple(steps)), sources, secrets, tuple(logins.values()))

    def __repr__(self) -> str:
        return "\n".join([f"Image from {self._base.title}", *(f"  {draft.step.title}" for draft in self._drafts)])

    def __reduce__(self) -> tuple[Any, ...]:
        # It may travel with a cell that mentions it; what it knows of this machine and its secrets does not.
        bare = tuple(Draft(draft.step, content=draft.content) for draft in self._drafts)
        return Image, (self._base, bare)

    def _installed(self, install: Install, env: Mapping[str, str] | None, force_build: bool) -> Image:
        return self._with(env, install.draft(random.token_hex(8) if force_build else ""))

    def _with(self, env: Mapping[str, str] | None, draft: Draft) -> Image:
        before = self.env(env) if env else self
        return Image(before._base, (*before._drafts, draft), before._context)


def _draft(kind: str, words: tuple[str, ...], secrets: Sequence[object], force_build: bool) -> Draft:
    values = secrets_of(list(secrets))
    nonce = random.token_hex(8) if force_build else ""
    return Draft(Step(kind, words, secrets=tuple(sorted(values)), nonce=nonce), secrets=values)


def _read(found: Sequence[Local], sources: dict[str, Path | bytes]) -> tuple[Content, ...]:
    files: dict[str, Content] = {}
    for local in found:
        for content, path in image_files.contents(replace(local, ignore=local.ignore or nothing)):
            files[content.path] = content
            sources[content.digest] = path
    return tuple(files.values())


def _minor(version: str) -> str:
    match = _VERSION.fullmatch(str(version))
    if match is None:
        raise ImageError(f"{version!r} is no version of Python", 'write it such as "3.11"')
    return match[1]


def _tag(tag: str) -> str:
    if not isinstance(tag, str) or not re.fullmatch(r"[\w][\w./:@-]*", tag):
        raise ImageError(f"{tag!r} is no image's tag", 'write it such as "python:3.11-slim"')
    return tag
