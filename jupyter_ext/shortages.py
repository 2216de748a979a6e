"""Memory of devices as people read it: notes below a table, and what stands below an error for want of it.

    DeviceMemory -> one sentence
    Problem with a Shortage, who holds what by pid -> table, the largest names, one line `hint:`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from jupyter_ext.receipt import size_text
from kernel_proxy.errors import WarmcellError
from kernel_proxy.runtime import Runtime
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.targets import format_size, short_model

_HEAD = ("device", "total", "used", "this session", "others")
_WORTH_FRACTION = 0.02
"""Of a device: a cache that is smaller is not worth a hint."""


def notes(devices: Iterable[pb.DeviceMemory]) -> tuple[str, ...]:
    """Say of each device how much of it is used, by whom."""
    return tuple(_note(device) for device in devices if _is_read(device))


def lines(problem: pb.Problem, holders: Mapping[int, str]) -> list[str]:
    """Return what stands below the traceback of an error for want of memory; nothing below any other.

    Args:
        problem: Of the run.
        holders: Sessions by the pid of their process.
    """
    return [line for short in problem.shortage for line in _explained(short, holders)]


def holders(problem: pb.Problem, running: Callable[[], Runtime | None]) -> dict[int, str]:
    """Ask the runtime whose processes take memory of a device, where that has run short.

    Args:
        problem: Of the run.
        running: Returns the runtime, if one runs.
    """
    if not any(device.others for short in problem.shortage for device in short.devices):
        return {}
    try:
        runtime = running()
        sessions = runtime.describe().sessions if runtime is not None else ()
    except WarmcellError:
        return {}  # the run's own error matters more than the names of others
    return {session.pid: f"session {session.name}" for session in sessions if session.pid}


def _explained(short: pb.Shortage, holders: Mapping[int, str]) -> Iterator[str]:
    rows = [_HEAD, *(_row(device, holders) for device in short.devices)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    yield ""
    for row in rows if len(rows) > 1 else ():
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    for device in short.devices:
        if _is_past_share(device):
            yield f"this session named a share of {format_size(device.share_bytes)}, and takes more"
    if short.largest:
        yield f"largest here: {', '.join(_named(held) for held in short.largest)}"
    yield f"hint: {_hint(short)}"


def _row(device: pb.DeviceMemory, holders: Mapping[int, str]) -> tuple[str, ...]:
    return (
        short_model(device.model) or device.device_id,
        size_text(device.total_bytes if device.HasField("total_bytes") else None),
        size_text(device.used_bytes if device.HasField("used_bytes") else None),
        _own(device),
        _others(device, holders),
    )


def _own(device: pb.DeviceMemory) -> str:
    taken = size_text(own_bytes(device))
    if not device.HasField("allocated_bytes"):
        return taken
    cached = size_text(_cached_bytes(device)) if device.HasField("reserved_bytes") else "-"
    return f"{taken} ({size_text(device.allocated_bytes)} in torch's tensors, {cached} in its cache)"


def _others(device: pb.DeviceMemory, holders: Mapping[int, str]) -> str:
    told = [f"{holders.get(o.pid) or _process(o)} {size_text(_memory_bytes(o))}" for o in device.others]
    taken = own_bytes(device)
    if told or not device.HasField("used_bytes") or taken is None:
        return ", ".join(told) or "-"
    return size_text(max(0, device.used_bytes - taken))


def _memory_bytes(user: pb.DeviceUser) -> int | None:
    return user.memory_bytes if user.HasField("memory_bytes") else None


def _process(user: pb.DeviceUser) -> str:
    return f"pid {user.pid} ({user.name})" if user.name else f"pid {user.pid}"


def own_bytes(device: pb.DeviceMemory) -> int | None:
    """Return what a session takes of a device: as the driver tells it, else as torch does; None for neither."""
    if device.HasField("own_bytes"):
        return device.own_bytes
    return device.reserved_bytes if device.HasField("reserved_bytes") else None


def _cached_bytes(device: pb.DeviceMemory) -> int:
    return max(0, device.reserved_bytes - device.allocated_bytes)


def _is_past_share(device: pb.DeviceMemory) -> bool:
    return device.HasField("share_bytes") and (own_bytes(device) or 0) > device.share_bytes


def _is_read(device: pb.DeviceMemory) -> bool:
    return device.HasField("used_bytes") or own_bytes(device) is not None


def _note(device: pb.DeviceMemory) -> str:
    used = size_text(device.used_bytes if device.HasField("used_bytes") else None)
    total = size_text(device.total_bytes if device.HasField("total_bytes") else None)
    share = f", of a share of {format_size(device.share_bytes)}" if device.HasField("share_bytes") else ""
    name = short_model(device.model) or device.device_id
    return f"{name} memory: {used} of {total} used, {_own(device)} by this session{share}"


def _named(held: pb.Held) -> str:
    return f"{held.name} {size_text(held.size_bytes)} ({held.type_name})"


def _hint(short: pb.Shortage) -> str:
    cached = sum(_cached_bytes(d) for d in short.devices if d.HasField("reserved_bytes"))
    total = sum(d.total_bytes for d in short.devices)
    ways = []
    if cached > total * _WORTH_FRACTION:
        ways.append(f"`%gpu free` gives back up to {size_text(cached)} that torch keeps and does not use")
    if short.largest:
        ways.append(f"`%gpu rm {short.largest[0].name}` drops the largest name")
    taken = sum(own_bytes(d) or 0 for d in short.devices)
    if any(d.others for d in short.devices) and sum(d.used_bytes for d in short.devices) > 2 * taken:
        ways.append("`%gpu use --exclusive` waits for a device of its own")
    return ", or ".join([*ways, "take a smaller batch", 'choose a larger device, such as `%gpu use ">=80GB"`'])
