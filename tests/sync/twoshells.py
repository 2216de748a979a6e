"""A notebook and its session in one process: gather, join, run, choose, bind, without kernels and sockets."""

from __future__ import annotations

from typing import Any

from jupyter_ext import names as analysis
from kernel_proxy.gather import Gates, Wanted, gather
from kernel_proxy.mirror import SessionMirror
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.payload import unpack
from remote_runtime.worker import returns
from remote_runtime.worker.mirrors import Mirrors
from remote_runtime.worker.namespace import Before, Names, Stash


class TwoShells:
    """Cells run in `here` or, as the road does it, in `there`."""

    def __init__(self) -> None:
        self.here: dict[str, Any] = {"__name__": "__main__"}
        self.there: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
        self.mirror = SessionMirror("nb", self.here, lambda obj: None)
        self.mirrors = Mirrors(Names(self.there, {"__name__": "__main__", "__builtins__": __builtins__}))

    def local(self, source: str) -> str:
        """Run a cell here; return the name of its error's class."""
        error = run(source, self.here)
        self.mirror.sweep()
        return error

    def remote(self, source: str) -> str:
        """Run a cell there, with what it needs, and bring back what it changed."""
        plan = analysis.plan(source, self.here)
        wanted = Wanted(plan.reads, plan.weak_reads)
        capture = gather(wanted, self.here, session_id="s", gates=Gates(), mirror=self.mirror)
        sync = self.mirror.sync(capture.delta)
        self.mirror.sent(sync, capture.delta, capture.packed)
        captured = plan.reads | plan.weak_reads
        own = (plan.binds | plan.deletes) - captured.union(capture.delta.names)
        stash = sorted(name for name in own if name in self.here)
        error, end, bundle = self._there(source, sync, _moved(capture.bundle), stash)
        self._arrive(end, _moved(bundle))
        self.mirror.sweep()
        return error

    def _there(self, source: str, sync: pb.Sync, bundle: Bundle | None, aside: Any) -> tuple[str, pb.End, Bundle | None]:
        party = self.mirrors.join(sync)
        if bundle is not None:
            self.there.update(unpack(bundle, self.there, landing=party.arrival()))
        party.landed()
        stash, before = Stash(self.there, aside, source), Before(self.mirrors.names, source)
        error = run(source, self.there)
        bound = [name for name in before.bound() if not party.stands(name)]
        deleted = [*before.deleted(), *stash.restore()]
        changes = party.compare(bound)
        chosen = returns.choose({n: self.there[n] for n in bound if n in self.there}, returns.Rule(), self.there, changes)
        assert not chosen.why, chosen.why
        self.mirrors.forget(deleted)
        end = pb.End(deleted=deleted, updated=chosen.updated, ahead=chosen.ahead)
        for name in (*bound, *changes.updated, *changes.whole):
            end.versions[name] = self.mirrors.stamp(name, sync)
        end.turn = party.told()
        return error, end, chosen.packed.bundle if chosen.packed is not None else None

    def _arrive(self, end: pb.End, bundle: Bundle | None) -> None:
        arrival = self.mirror.arrival(end.turn, end.updated)
        if bundle is not None:
            self.here.update(unpack(bundle, self.here, landing=arrival))
            assert not arrival.contested and not arrival.unfit, (arrival.contested, arrival.unfit)
        for name in end.deleted:
            self.here.pop(name, None)
        self.mirror.landed(end.turn, end.versions)
        self.mirror.forget(end.deleted)


def run(source: str, namespace: dict[str, Any]) -> str:
    """Run a cell; return the name of its error's class."""
    try:
        exec(compile(source, "<cell>", "exec"), namespace)
    except Exception as error:
        return type(error).__name__
    return ""


def _moved(bundle: Bundle | None) -> Bundle | None:
    if bundle is None:
        return None
    return Bundle(bytes(bundle.pickle), tuple(memoryview(bytearray(buffer)) for buffer in bundle.buffers))
