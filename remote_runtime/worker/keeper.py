"""One session: who may speak to it, what they may ask, and how long it lives.

    Claim --> settings --> user process
    frame of a client --> request --> runner, run logs, or an answer at once
    tick --> memory, leases, keep times, slow clients

Called by the loop only, so nothing here is locked; nothing here waits but `stop` and `room`.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
from collections.abc import Callable
from contextlib import suppress

from remote_runtime.wire import forking, frames, limits, memory, versions
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.worker.client import Client
from remote_runtime.worker.desk import Desk
from remote_runtime.worker.devicelock import DeviceLocks
from remote_runtime.worker.deviceuse import DeviceUse
from remote_runtime.worker.endings import Death
from remote_runtime.worker.footprint import members
from remote_runtime.worker.ledger import Ledger
from remote_runtime.worker.nursery import Nursery
from remote_runtime.worker.readings import Readings
from remote_runtime.worker.runner import Runner
from remote_runtime.worker.runs import Runs
from remote_runtime.worker.tuning import Order

log = logging.getLogger(__name__)

_AGAIN = "run the cell again"


class Keeper:
    """One worker's session, from warm to gone.

    Args:
        order: What the zygote was told.
        nursery: Where user processes come from.
        finish: Called with the exit code when the keeper shall end.
    """

    def __init__(self, order: Order, nursery: Nursery, finish: Callable[[int], None]) -> None:
        self._order, self._finish = order, finish
        self._loop = asyncio.get_running_loop()
        self._claim: pb.ClaimRequest | None = None
        self._locks = DeviceLocks()
        self._ledger = Ledger()
        self._runs = Runs(order.tuning.bounds, self._ledger)
        self.runner = Runner(nursery, self._runs, order.tuning, self, self._ledger)
        self.desk = Desk(self.runner, self._runs, self._run_infos)
        self._readings: Readings | None = None
        self._use = DeviceUse()
        self._was_busy = False
        self._ttl_s = order.tuning.ttl_s
        now = self._loop.time()
        self._ticked_at = self._born_at = self._claimed_at = self._heard_at = self._alone_since = self._idle_since = now
        self._ends_at: float | None = None
        self.warmed = asyncio.Event()

    # ---- gateway ------------------------------------------------------------------------------------------

    def claim(self, request: pb.ClaimRequest) -> pb.ClaimReply:
        """Give this worker to a session, once."""
        if self._claim is not None:
            return pb.ClaimReply(reason=f"worker {self._order.worker_id} is already claimed")
        real = [d for d in request.devices if not d.simulated and d.id != "cpu"]
        here = f"{request.session} on worker {self._order.worker_id}"
        holder = self._locks.take([d.id for d in real], here, request.shared_devices)
        if holder:
            return pb.ClaimReply(reason=holder)
        self._claim = request
        self._heard_at = self._alone_since = self._idle_since = self._claimed_at = self._loop.time()
        self._ends_at = None
        self.runner.users.incarnation = request.incarnation or 1
        self.runner.users.memory_limit_bytes = request.memory_limit_bytes
        self.desk.clerk.serve(request.directory, self._standing, request.places)
        self.runner.users.configure(_settings(request, [d.id for d in real]))
        if real:
            self._readings = Readings(tuple(d.id for d in real))
            self._use = DeviceUse(request.device_memory_bytes if request.HasField("device_memory_bytes") else None)
        return pb.ClaimReply(claimed=True, pid=self._pid)

    def renew(self, ttl_s: float) -> pb.SessionInfo:
        """Take a sign of life from the gateway, and describe the session."""
        self._heard_at = self._loop.time()
        self._ttl_s = ttl_s or self._ttl_s
        if self._claim is None and self._ends_at is not None:
            self._ends_at = self._heard_at + self._ttl_s
        return self.describe()

    def notify(self, notice: pb.Notice) -> None:
        """Show a text to every attached client."""
        self.desk.broadcast(pb.FromWorker(notice=notice))

    def describe(self) -> pb.SessionInfo:
        """Return what the gateway wants to know of the session."""
        claim = self._claim or pb.ClaimRequest()
        now = self._loop.time()
        child = self.runner.users.child
        memory = child.footprint.sample() if child is not None and child.footprint is not None else None
        busy = bool(self._runs.alive)
        return pb.SessionInfo(
            session_id=claim.session_id,
            name=claim.session,
            target=claim.target,
            notebook=claim.notebook,
            state="running" if busy else "idle",
            age_s=now - self._born_at,
            idle_s=0.0 if busy or self.runner.busy else now - self._idle_since,
            device_ids=[d.id for d in claim.devices],
            pid=self._pid,
            runs=self._run_infos(),
            incarnation=self.runner.users.incarnation,
            name_count=len(self.runner.names),
            names=self.runner.names,
            memory_bytes=memory,
            attached_count=len(self.desk.clients),
            held_s=now - self._claimed_at if self._claim is not None else None,
            busy_s=self._runs.busy_s if self._claim is not None else None,
            run_left_s=self._runs.left_s,
            device_used_bytes=self._use.used_bytes,
        )

    async def stop(self, grace_s: float, reason: str) -> None:
        """End every run, tell the clients, and finish."""
        self.notify(pb.Notice(text=reason or "the session is being stopped"))
        self.runner.users.closing = True
        deadline = self._loop.time() + grace_s
        for run in reversed(self._runs.alive):
            self.runner.interrupt(run, grace_s <= 0, "cancelled")
        while self._runs.alive and self._loop.time() < deadline:
            await asyncio.sleep(0.02)
        for run in self._runs.alive:
            self.runner.interrupt(run, True, "cancelled")
        while self._runs.alive and self._loop.time() < deadline + self._order.tuning.kill_wait_s:
            await asyncio.sleep(0.01)
        self._finish(forking.STOPPED)

    def close(self) -> None:
        """Let everything go: user process, devices, clients."""
        self.desk.clerk.close()
        self.runner.users.close()
        self._locks.release()
        for client in list(self.desk.clients):
            client.leave()

    # ---- clients ------------------------------------------------------------------------------------------

    def attach(self, frame: bytes) -> Client:
        """Let a client in that says hello.

        Args:
            frame: Its first.

        Raises:
            Failed: code "protocol", "unauthorized" or "version-mismatch".
        """
        message = frames.parse(pb.ToWorker, frame)
        if not message.HasField("hello"):
            raise Failed("protocol", "the first frame of a stream is no hello", "reload warmcell in this kernel")
        hello = message.hello
        self._authorize(hello)
        rows = versions.blocking(hello.versions, versions.here())
        if rows:
            table = versions.table(hello.versions, versions.here(), rows)
            text = f"{', '.join(rows)} differs between this kernel and the worker\n{table}"
            raise Failed("version-mismatch", text, "use a runtime with the kernel's versions")
        client = Client(hello, self._loop.time, self._ledger)
        self.desk.clients.add(client)
        client.reply(pb.FromWorker(request_id=message.request_id, welcome=self._welcome()))
        return client

    def _authorize(self, hello: pb.Hello) -> None:
        claim = self._claim
        known = claim is not None and hmac.compare_digest(claim.token.encode(), hello.token.encode())
        if claim is None or not known or hello.session_id != claim.session_id:
            raise Failed("unauthorized", "the worker does not accept this token for this session",
                         "open the session through its gateway")  # fmt: skip

    def _welcome(self) -> pb.Welcome:
        claim = self._claim or pb.ClaimRequest()
        return pb.Welcome(
            versions=versions.here(),
            incarnation=self.runner.users.incarnation,
            names=self.runner.names,
            devices=claim.devices,
            pid=self._pid,
            runs=self._run_infos(),
            stock=self.runner.users.child.stock.all() if self.runner.users.child is not None else None,
        )

    def _standing(self) -> str:
        """Return the user process's working directory: the session's, unless a cell has left it."""
        with suppress(OSError):
            return os.readlink(f"/proc/{self._pid}/cwd")
        return self._claim.directory if self._claim is not None else ""

    def _run_infos(self) -> list[pb.RunInfo]:
        session_id = self._claim.session_id if self._claim is not None else ""
        return [run.info(session_id) for run in self._runs]

    @property
    def _pid(self) -> int:
        return self.runner.users.child.pid if self.runner.users.child is not None else 0

    # ---- the user process, see `owner.Owner` -------------------------------------------------------------

    def warm(self) -> None:
        """See `owner.Owner`."""
        self.warmed.set()

    def replaced(self, death: Death, idle: bool) -> None:
        """See `owner.Owner`."""
        self._use.lost()
        if idle and self._claim is not None:
            self.notify(
                pb.Notice(text=f"the user process {death.words} while it was idle; the session's names are gone")
            )
        self.desk.broadcast(pb.FromWorker(welcome=self._welcome()))

    def stocked(self, told: pb.FromWorker) -> None:
        """See `owner.Owner`."""
        self.desk.broadcast(told)

    def ended(self, end: pb.End) -> None:
        """See `owner.Owner`."""
        self._warn(self._use.ended(end.devices))

    def stranded(self) -> None:
        """See `owner.Owner`."""
        if self._claim is None:
            return self._finish(forking.START_FAILED)
        self._ends_at = self._loop.time() + self._order.tuning.stranded_s
        return None

    def orphaned(self) -> None:
        """Take the news that the engine has hung up; an unclaimed keeper lives only so much longer."""
        self._heard_at = self._loop.time()
        if self._claim is None:
            self._ends_at = self._heard_at + self._ttl_s

    # ---- time ---------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Look after everything that time changes."""
        now = self._loop.time()
        if now - self._ticked_at > self._order.tuning.frozen_s:
            self._thaw(now - self._ticked_at)
        self._ticked_at = now
        self.runner.tick()
        self._runs.expire()
        self._runs.shrink()
        self._read_devices(now)
        self._idle_since = now if self.runner.busy else max(self._idle_since, self.desk.used_at)
        for client in list(self.desk.clients):
            if client.backlogged and now - client.moved_at > self._order.tuning.stall_s:
                log.warning("client %s took nothing for %.0f s and is dropped", client.name, now - client.moved_at)
                client.close()
        if self.desk.clients:
            self._alone_since = now
        else:
            self._tick_alone(now)
        if self._ends_at is not None and now > self._ends_at:
            self._finish(forking.STRANDED if self.runner.users.is_stranded else forking.LEASE)

    def _thaw(self, frozen_s: float) -> None:
        """Take a time in which this process did not run as if it had not been: nobody could be heard in it."""
        log.info("the keeper was frozen for %.0f s", frozen_s)
        self._heard_at += frozen_s
        self._alone_since += frozen_s
        if self._ends_at is not None:
            self._ends_at += frozen_s
        for client in self.desk.clients:
            client.moved_at += frozen_s

    def _tick_alone(self, now: float) -> None:
        alone_s = now - self._alone_since
        for run in self._runs.alive:
            if alone_s > run.keep_s:
                self.runner.interrupt(run, False, "cancelled")
        unread = any(not run.log.acknowledged for run in self._runs)
        if self._claim is not None and not unread and min(alone_s, now - self._heard_at) > self._ttl_s:
            log.warning("neither gateway nor client was heard for %.0f s; the lease ends", self._ttl_s)
            self._finish(forking.LEASE)

    def _read_devices(self, now: float) -> None:
        busy = bool(self._runs.alive)
        if self._readings is not None and (busy or self._was_busy) and self._readings.due(now):
            self._was_busy = busy  # so what the last cell has taken is read once more after its end
            pid = self._pid
            task = self._loop.run_in_executor(None, self._readings.read, lambda: members(pid))
            task.add_done_callback(self._record_readings)

    def _record_readings(self, done: asyncio.Future[list[pb.Reading]]) -> None:
        if not done.cancelled() and done.exception() is None:
            for reading in done.result():
                self.runner.record(pb.Event(reading=reading))
            self._warn(self._use.read(done.result()))

    def _warn(self, text: str) -> None:
        if text:
            self.notify(pb.Notice(text=text))


def _settings(request: pb.ClaimRequest, real_ids: list[str]) -> dict[str, object]:
    """Return what the user process must know; "" hides every GPU from it."""
    return {
        "directory": request.directory,
        "environment": {**request.env, "CUDA_VISIBLE_DEVICES": ",".join(real_ids)},
        "devices": [{"id": d.id, "model": d.model, "simulated": d.simulated} for d in request.devices],
        "session": request.session,
        "device_memory_bytes": request.device_memory_bytes if request.HasField("device_memory_bytes") else None,
        "cache_bytes": _cache_bytes(request),
    }


def _cache_bytes(request: pb.ClaimRequest) -> int:
    if request.HasField("cache_bytes"):
        return request.cache_bytes
    most_bytes = min(memory.ram_bytes(), request.memory_limit_bytes or memory.ram_bytes())
    return min(limits.CACHE_BYTES, int(most_bytes * limits.CACHE_RAM_SHARE))
