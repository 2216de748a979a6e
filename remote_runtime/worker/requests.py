"""What a session is asked between runs: fetch, put, remove, list, free, environment.

ToWorker -> the row of its body -> FromWorker, with the request's id
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

from remote_runtime.wire import data, limits, payload, versions
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.failures import Failed
from remote_runtime.worker import describe, devicememory, tracebacks, writeback
from remote_runtime.worker.execute import Parcel, Session, problem_of, unpacked

Answer = tuple[pb.FromWorker, Bundle | None]


class Requests:
    """Answers requests that are no runs.

    Args:
        session: What they are about.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._table: Mapping[str, Callable[[Any, Parcel], Answer]] = {
            "fetch": self._fetch,
            "put": self._put,
            "remove": self._remove,
            "list_vars": self._list_vars,
            "free": self._free,
            "environment": self._environment,
            "drop": self._drop,
            "sources": self._sources,
        }

    def answer(self, message: pb.ToWorker, parcel: Parcel) -> None:
        """Answer one request; an answer without an id is not sent.

        Args:
            message: The request.
            parcel: The values that came with it, if any.
        """
        body = message.WhichOneof("body") or ""
        reply, bundle = self._attempt(body, message, parcel)
        reply.request_id = message.request_id
        if body != "drop" or message.request_id:
            self._session.outputs.send(reply, bundle)
        tracebacks.forget()

    def _attempt(self, body: str, message: pb.ToWorker, parcel: Parcel) -> Answer:
        handle = self._table.get(body)
        if handle is None:
            return _failure(Failed("protocol", f"a user process cannot answer `{body}`")), None
        answer: Answer = _failure(Failed("interrupted", f"`{body}` was interrupted", "ask again")), None
        with self._session.interrupts.armed(asyncio.current_task()):
            try:
                answer = handle(getattr(message, body), parcel)
            except (Failed, payload.UnpackError, SystemExit) as error:
                answer = _failure(error), None
        return answer

    def _fetch(self, asked: pb.Fetch, _: Parcel) -> Answer:
        """Return a value by name or by token, under its name; under "_" where it has only a token."""
        namespace = self._session.names.namespace
        if asked.token:
            value = self._session.registry.resolve(asked.token)
        elif asked.name in namespace:
            value = namespace[asked.name]
        else:
            raise Failed("not-found", f"the session has no `{asked.name}`", "see `%gpu vars` for what it has")
        name = asked.name or writeback.RESULT
        if asked.data_only and data.why_not(value):
            raise Failed(
                "untrusted",
                f"`{name}` is no data, because of {data.why_not(value)} in it, and this notebook takes data alone",
                f"`{name}.get(trust=True)` takes it all the same, and runs what it says in the notebook's kernel",
            )
        party = self._session.mirrors.join(asked.sync) if asked.HasField("sync") else None
        try:
            if party is not None:
                return party.hand_over(name, value)
            return pb.FromWorker(values=pb.Values()), payload.pack({name: value}, namespace=namespace).bundle
        except payload.PackError as error:
            raise Failed("pack", error.message, error.hint) from error
        except SystemExit as error:
            raise Failed("pack", f"`{name}` cannot travel: {writeback.reason(error)}") from error

    def _put(self, asked: pb.Put, parcel: Parcel) -> Answer:
        self._session.sources.use(asked.sources)
        party = self._session.mirrors.join(asked.sync) if asked.HasField("sync") else None
        self._session.names.namespace.update(unpacked(self._session, parcel, party))
        if party is not None:
            party.landed()
        return pb.FromWorker(done=pb.Done()), None

    def _remove(self, asked: pb.Remove, _: Parcel) -> Answer:
        alive = dict(self._session.names.items())
        gone = [name for name in dict.fromkeys(asked.names) if name in alive]
        before = _memory_bytes()
        self._session.registry.drop_values([alive.pop(name) for name in gone])
        for name in gone:
            del self._session.names.namespace[name]
        self._session.mirrors.forget(gone)
        return self._removed(gone, before), None

    def _list_vars(self, _: pb.ListVars, __: Parcel) -> Answer:
        rows = [describe.described(name, value) for name, value in self._session.names.items()]
        for row in rows:
            row.version = self._session.mirrors.version(row.name)
        return pb.FromWorker(vars=pb.VarTable(vars=rows, devices=self._session.memory.read())), None

    def _free(self, _: pb.Free, __: Parcel) -> Answer:
        before = _memory_bytes()
        tracebacks.forget()
        self._session.shell.displayhook.forget()
        cached_bytes = self._session.store.clear()
        answer = self._removed([], before)
        if cached_bytes:
            answer.removed.detail += f"\n{cached_bytes / limits.MIB:.1f} MiB were kept of what was sent"
        return answer, None

    def _removed(self, names: list[str], before: tuple[str, int | None]) -> pb.FromWorker:
        """Collect what nobody holds, and tell how much that gave back."""
        gc.collect()
        devicememory.empty_cache()
        where, after = _memory_bytes()
        known = before[1] is not None and after is not None
        freed_bytes = max(0, before[1] - after) if known else None
        removed = pb.Removed(names=names, detail=where, freed_bytes=freed_bytes, devices=self._session.memory.read())
        return pb.FromWorker(removed=removed)

    def _environment(self, _: pb.Environment, __: Parcel) -> Answer:
        packages = {dist.metadata["Name"] or "": dist.version for dist in metadata.distributions()}
        info = pb.EnvironmentInfo(versions=versions.here(), executable=sys.executable, directory=os.getcwd())
        info.packages.update({name: version for name, version in packages.items() if name})
        info.devices.extend(self._session.memory.devices)
        info.memory.extend(self._session.memory.read())
        info.sources.extend(self._session.sources.modules)
        info.cached_bytes, info.cache_bytes = self._session.store.idle_bytes, self._session.store.limit_bytes
        return pb.FromWorker(environment=info), None

    def _drop(self, asked: pb.Drop, _: Parcel) -> Answer:
        self._session.registry.drop(asked.tokens)
        return pb.FromWorker(done=pb.Done()), None

    def _sources(self, asked: pb.Sources, _: Parcel) -> Answer:
        if asked.ask:
            return pb.FromWorker(sources=self._session.sources.lacking(asked)), None
        self._session.sources.keep(asked)
        return pb.FromWorker(done=pb.Done()), None


def _failure(error: Failed | payload.UnpackError | SystemExit) -> pb.FromWorker:
    told = problem_of(error)
    return pb.FromWorker(failure=pb.Failure(code=told.code, message=told.message, hint=told.hint))


def _memory_bytes() -> tuple[str, int | None]:
    """Return which memory is measured, and how much of it this process holds, None where that fails."""
    if devicememory.torch_cuda() is not None:
        return "GPU memory", devicememory.reserved_bytes()
    try:
        with open("/proc/self/statm", "rb") as file:
            return "memory", int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return "memory", None
