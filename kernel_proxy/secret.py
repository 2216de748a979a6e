"""Secrets as a user names or makes them: a name at the runtime, or variables that are kept there under one.

    Secret.from_dotenv().create("hub") -> the gateway, encrypted        Secret.from_name("hub") -> a session that has it

A value is in no repr. Once kept it does not come back: sessions and runs are given it at the runtime.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kernel_proxy import dotenv
from kernel_proxy.errors import NotFound, SettingsError
from kernel_proxy.hidden import Hidden
from kernel_proxy.runtime import Runtime, connect
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.settingnames import name_problem, variable_problem


@dataclass(frozen=True)
class Secret:
    """A named set of variables, or one that has no name yet.

    Args:
        name: Under which the runtime keeps it; "" for one that is only here.
        variables: Names and values, where they are here.
    """

    name: str = ""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def from_name(cls, name: str) -> Secret:
        """Name a secret that the runtime keeps.

        Raises:
            SettingsError: It cannot have that name.
        """
        wrong = name_problem(name)
        if wrong:
            raise SettingsError(wrong, "`warmcell secret list` shows the names")
        return cls(name)

    @classmethod
    def from_dict(cls, variables: Mapping[str, str | None]) -> Secret:
        """Make a secret of variables; one without a value is left out.

        Raises:
            SettingsError: A variable cannot have its name, or its value is no text.
        """
        given = {name: value for name, value in variables.items() if value is not None}
        for name, value in given.items():
            wrong = variable_problem(str(name)) or ("" if isinstance(value, str) else f"`{name}` is no text")
            if wrong:
                raise SettingsError(wrong, "give names and texts")
        return cls("", {name: Hidden(value) for name, value in given.items()})

    @classmethod
    def from_dotenv(cls, path: str | Path | None = None, *, filename: str = ".env") -> Secret:
        """Make a secret of the variables in a file.

        Args:
            path: The file, or a folder; None looks for the file here and in the folders above.
            filename: Its name, where a folder is given or it is looked for.

        Raises:
            NotFound: There is no such file.
            SettingsError: A line of it cannot be read.
        """
        file = _dotenv_file(path, filename)
        return cls.from_dict(dotenv.variables(file.read_text(encoding="utf-8"), str(file)))

    @classmethod
    def from_local_environ(cls, env_keys: Iterable[str]) -> Secret:
        """Make a secret of variables of this process.

        Raises:
            NotFound: One is not set.
        """
        names = list(env_keys)
        absent = [name for name in names if name not in os.environ]
        if absent:
            raise NotFound(f"{', '.join(absent)} is not set in this process", "set it before the kernel starts")
        return cls.from_dict({name: os.environ[name] for name in names})

    def create(self, name: str, *, overwrite: bool = False, runtime: Runtime | None = None) -> Secret:
        """Have the runtime keep the variables under a name, and return the secret by that name.

        Args:
            name: By which sessions ask for it.
            overwrite: Whether one of that name is replaced.
            runtime: Which; None for the one that the settings name.

        Raises:
            WarmcellError: The name cannot be had, or the runtime cannot be reached.
        """
        put = pb.SecretPut(name=name, variables=dict(self.variables), overwrite=overwrite)
        (runtime or connect()).secrets(pb.SecretsRequest(put=put))
        return Secret(name)


def _dotenv_file(path: str | Path | None, filename: str) -> Path:
    if path is not None:
        given = Path(path).expanduser()
        places = [given / filename if given.is_dir() else given]
    else:
        here = Path.cwd()
        places = [folder / filename for folder in (here, *here.parents)]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise NotFound(f"there is no file {places[0]}", "give its path: `Secret.from_dotenv(PATH)`")
    return found
