"""What one kernel knows of its runtime: how to reach it, and the sessions it has open.

    traits, environment, files -> Settings -> Runtime (on first use) -> Far (a session) per (name, target)

Nothing here connects before a cell, or a command that needs a runtime, asks for it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.core.interactiveshell import InteractiveShell

from jupyter_ext.ahead import Ahead
from jupyter_ext.comms import Comms
from jupyter_ext.defaults import Defaults
from jupyter_ext.far import Far, lost_handle
from jupyter_ext.late import Late
from jupyter_ext.notebooknames import ANY, default_session_name, notebook_of
from jupyter_ext.settings import GpuSettings
from jupyter_ext.waits import waiting_text
from kernel_proxy import statedir
from kernel_proxy.errors import NotFound, NotRunning
from kernel_proxy.handles import Handle
from kernel_proxy.runtime import Runtime, connect
from kernel_proxy.settings import ENVIRONMENT, Settings, load_settings
from kernel_proxy.sources import Sources
from remote_runtime.wire import messages_pb2 as pb

if TYPE_CHECKING:
    from jupyter_ext.jobs import Job

Say = Callable[[str], None]


class Connection:
    """The runtime as one kernel sees it.

    Args:
        shell: The kernel's shell.
        traits: What the user set.

    Attributes:
        defaults: What `%gpu use` chose.
        jobs: Background runs of this kernel, by run id.
        last_problem: Of the run that failed last, for `%gpu tb`.
        warned: Warnings that were shown, each once.
        pending: Notices from other threads, shown with the next cell.
        sources: The local modules of this process.
        comms: The kernel's ends of comms that were opened on a worker.
        late: What runs show after their end.
        ahead: Warms what cells will soon ask for.
    """

    def __init__(self, shell: InteractiveShell, traits: GpuSettings) -> None:
        self.shell = shell
        self.traits = traits
        self.defaults = Defaults()
        self.jobs: dict[str, Job] = {}
        self.last_problem: pb.Problem | None = None
        self.warned: set[str] = set()
        self.pending: deque[str] = deque()
        self.sources = Sources()
        self.comms = Comms(self.pending.append)
        self.late = Late(shell, self.comms)
        self.ahead = Ahead(self.settings)
        self._settings: tuple[tuple[Any, ...], Settings] | None = None
        self._runtime: Runtime | None = None
        self._place: str | None = None
        self._sessions: dict[tuple[str, str], Far] = {}
        self._last: Far | None = None
        self._is_chosen = False
        self._known_keys: frozenset[str] = frozenset()

    @property
    def namespace(self) -> dict[str, Any]:
        """The notebook's names."""
        return self.shell.user_ns

    @property
    def sessions(self) -> list[Far]:
        """The sessions that are open and usable."""
        return [far for far in self._sessions.values() if far.session.lost is None]

    @property
    def last(self) -> Far | None:
        """The session that was used last, while it is open and usable."""
        return self._last if self._last is not None and self._last.session.lost is None else None

    def choose(self, defaults: Defaults) -> None:
        """Take what `%gpu use` chose; commands then mean the session that it names, and not the one used last."""
        before = self.session_name(self.target())
        self.defaults = defaults
        if self.session_name(self.target()) != before:
            self._last, self._is_chosen = None, True
        for far in self.sessions:
            self._trusted(far)

    def settings(self) -> Settings:
        """Return what holds now: traits, then the environment, then files."""
        found = self._settings
        key = self._settings_key()
        if found is None or found[0] != key:
            found = self._settings = key, self._load_settings()
        return found[1]

    def _settings_key(self) -> tuple[Any, ...]:
        # Files are read once per connection; a cell has no time to read three of them.
        chosen = self.traits
        spoken = (os.environ.get(variable) for variable in ENVIRONMENT.values())
        traits = (chosen.url, chosen.token, chosen.target, chosen.session, chosen.idle_s, chosen.trust)
        return self._place, *traits, *spoken

    def _load_settings(self) -> Settings:
        chosen = self.traits
        given = {name: getattr(chosen, name) for name in ("url", "token", "target", "session", "trust")}
        arguments: dict[str, Any] = {name: value for name, value in given.items() if value}
        arguments |= {"idle_s": chosen.idle_s} if chosen.idle_s else {}
        return load_settings(arguments if self._place is None else {**arguments, "url": self._place})

    def settings_of(self, url: str) -> Settings:
        """Return what would hold with the runtime at another address; empty for the embedded one."""
        before, self._place = self._place, url
        try:
            return self._load_settings()
        finally:
            self._place = before

    @property
    def reached(self) -> Runtime | None:
        """The runtime as far as it was reached."""
        return self._runtime

    def go_to(self, url: str, runtime: Runtime | None) -> None:
        """Change over to another runtime; the sessions that are left live on where they are.

        Args:
            url: Its address; empty for the embedded one.
            runtime: Reached already, if it is.
        """
        self._leave()
        self._place, self._runtime = url, runtime
        self.comms.prune()

    @property
    def trust(self) -> str:
        """What is taken from workers, one of `data.TRUSTS`."""
        return self.defaults.trust or self.settings().trust

    def target(self, asked: str = "") -> str:
        """Return the target that holds: the one asked for, else `%gpu use`, else the settings, else any."""
        return asked or self.defaults.target or self.settings().target or ANY

    def runtime(self, say: Say) -> Runtime:
        """Return the runtime, reached on first use; the embedded one is started if need be.

        Raises:
            WarmcellError: It cannot be reached.
        """
        if self._runtime is None:
            self._runtime = connect(self.settings(), say)
            if self._runtime.version_notice:
                self.pending.append(
                    f"versions differ between this kernel and the runtime\n{self._runtime.version_notice}"
                )
        return self._runtime

    def running(self) -> Runtime | None:
        """Return the runtime if one runs; unlike `runtime` this starts nothing.

        Raises:
            WarmcellError: A runtime is configured and cannot be reached.
        """
        settings = self.settings()
        if settings.embedded and statedir.find(settings.home) is None:
            return None
        if settings.over_ssh and self._runtime is None and not _runs_there(settings):
            return None
        return self.runtime(lambda sentence: None)

    def session(self, target: str, say: Say, no_wait: bool = False) -> Far:
        """Return the open session for a target, opened on first use.

        Args:
            target: As the cell names it; empty leaves the choice to the defaults.
            say: Told what is waited for.
            no_wait: Fail rather than wait for a held device; the defaults may say so too.

        Raises:
            TargetBusy: The device is held, and nobody shall wait.
            WarmcellError: There is no such target, or the runtime cannot be reached.
        """
        found = self.opened(target)
        if found is None:
            self._renew()
            target = self.target(target)
            saved_s = self.ahead.saved_s(target, self.defaults.wishes)
            if saved_s is not None:
                self.pending.append(f"warmed ahead: this cell waited {saved_s:.1f} s less")
            found = self._open(self.session_name(target), target, say, no_wait=no_wait or self.defaults.no_wait)
        self._last = found
        return found

    def _renew(self) -> None:
        """Go over to what was chosen for sessions that are opened now."""
        chosen = self.defaults
        if chosen.later is not None:
            wishes = replace(chosen.wishes, environment=chosen.later)
            self.defaults = replace(chosen, wishes=wishes, later=None)

    def opened(self, target: str = "") -> Far | None:
        """Return the session for a target if it is open; nothing is started."""
        target = self.target(target)
        found = self._sessions.get((self.session_name(target), target))
        return self._trusted(found) if found is not None and found.session.lost is None else None

    def _trusted(self, far: Far) -> Far:
        """Let what was chosen hold from now on."""
        far.session.trust = self.trust
        return far

    def attached(self, name: str, say: Say) -> Far:
        """Return a session that exists at the runtime, by its name or id.

        Raises:
            NotFound: There is none.
        """
        for far in self.sessions:
            if name in (far.session.name, far.session.session_id):
                return self._trusted(far)
        return self._open(name, "", say, must_exist=True)

    def _waits(self, waiting: pb.Waiting, say: Say) -> None:
        """Say what is waited for; a note stays in the notebook."""
        if waiting.note:
            self.pending.append(waiting.note)
        say(waiting_text(waiting))

    def current(self, say: Say) -> Far:
        """Return the session that this notebook used last, or one that it left at the runtime; none is made.

        Raises:
            NotFound: It has none.
        """
        if self._last is not None and self._last in self.sessions:
            return self._trusted(self._last)
        runtime, notebook = self.running(), notebook_of(self.shell)
        found = runtime.describe().sessions if runtime is not None else ()
        mine = [session.name for session in found if session.notebook == notebook]
        chosen = self.session_name(self.target())
        if chosen not in mine and (len(mine) != 1 or self._is_chosen):
            several = f": it has {', '.join(mine)}" if mine else ""
            raise NotFound(
                f"this notebook has no session {chosen}{several}",
                "run a %%gpu cell first, or choose one with `%gpu use --session`",
            )
        return self.attached(chosen if chosen in mine else mine[0], say)

    def newly_lost(self) -> list[str]:
        """Return the handles whose memory was lost since this was last asked."""
        keys = frozenset(far.key for far in self.sessions)
        gone, self._known_keys = self._known_keys - keys, keys
        return sorted(n for n, v in self.namespace.items() if type(v) is Handle and v.session_id in gone)

    def require_held(self, names: Iterable[str]) -> None:
        """Refuse names whose handles are lost.

        Raises:
            SessionLost: The first such name.
        """
        keys = {far.key for far in self.sessions}
        for name in sorted(names):
            value = self.namespace.get(name)
            if type(value) is Handle and value.session_id not in keys:
                raise lost_handle(name)

    def session_name(self, target: str) -> str:
        """Return the session's name: the one chosen, else one per notebook and target."""
        chosen = self.defaults.session or self.settings().session
        made_with = self.defaults.wishes.environment.key
        return chosen or default_session_name(notebook_of(self.shell), target, made_with)

    def forget(self, session_id: str) -> None:
        """Close and forget a session that was released."""
        for key, far in list(self._sessions.items()):
            if far.session.session_id == session_id:
                self._sessions.pop(key).close()
        self.comms.prune()

    def sweep(self) -> None:
        """Let go of values that the notebook's names no longer stand for."""
        for far in self._sessions.values():
            far.sweep()

    def close(self) -> None:
        """Detach from the runtime; everything lives on there, and widgets show that they are disconnected."""
        self._leave()
        self.late.close()
        self.comms.close()

    def _leave(self) -> None:
        for far in self._sessions.values():
            far.close()
        self._sessions.clear()
        self._last = None
        runtime, self._runtime = self._runtime, None
        if runtime is not None:
            runtime.close()

    def _open(self, name: str, target: str, say: Say, **how: bool) -> Far:
        idle_s = self.settings().idle_s if self.defaults.idle_s is None else self.defaults.idle_s
        session = self.runtime(say).open(
            target,
            name,
            notebook_of(self.shell),
            self.namespace,
            idle_s=idle_s,
            on_wait=lambda waiting: self._waits(waiting, say),
            wishes=self.defaults.wishes,
            **how,
        )
        session.on_notice = lambda notice: self.pending.append(notice.text)
        self._sessions[name, target] = found = self._trusted(Far(session, notebook_of(self.shell)))
        session.on_late = partial(self.late.take, found)
        return found


def _runs_there(settings: Settings) -> bool:
    try:
        connect(settings, start=False).close()
    except NotRunning:
        return False
    return True
