"""What a runtime says of itself, as text, and what the command line concludes from it.

pb.RuntimeInfo -> status, sessions and runs as short tables; conflicts as errors
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from kernel_proxy.embedded import Launch
from kernel_proxy.errors import SettingsError, TargetBusy
from kernel_proxy.statedir import Gateway
from kernel_proxy.trust import fingerprint
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.targets import format_size
from warmcell.tables import duration, price, size, table

ACTIVE = frozenset({"queued", "running"})
"""States of a run that has not ended."""


def status_text(info: pb.RuntimeInfo) -> str:
    """Write what the runtime has, and who holds it."""
    idle = f"ends after {duration(info.idle_exit_s)} idle" if info.idle_exit_s else "stays until stopped"
    head = f"warmcell {info.versions.warmcell} at {info.http} (pid {info.pid}, engine {info.engine}), {idle}"
    devices = table(("DEVICE", "MODEL", "MEMORY", "STATE", "HOLDER", "PRICE"), map(_device, info.devices))
    if info.HasField("lease_memory_bytes"):
        head += f"\na session that names no share takes {format_size(info.lease_memory_bytes)} of a device"
    head += f"\nworkers start by {info.start}: {info.start_why}" if info.start else ""
    return f"{head}\n\n{devices}\n\n{sessions_text(info)}"


def sessions_text(info: pb.RuntimeInfo) -> str:
    """Write the sessions, and under them their runs."""
    if not info.sessions:
        return "no sessions"
    head = ("SESSION", "TARGET", "DEVICES", "STATE", "AGE", "IDLE", "NAMES", "MEMORY")
    models = {device.id: model_text(device) for device in info.devices}
    rows = [_session(session, models) for session in info.sessions]
    if any(session.user != info.caller.user for session in info.sessions):  # an admin sees everybody's
        head = (*head, "USER", "ID")
        rows = [(*row, one.user, one.session_id) for row, one in zip(rows, info.sessions, strict=True)]
    text = table(head, rows)
    runs = list(_runs(info))
    return f"{text}\n\n{table(('RUN', 'SESSION', 'STATE', 'TIME', 'CELL'), runs)}" if runs else text


def model_text(device: pb.Device) -> str:
    """Write a device's model, marked where it is declared for trial."""
    return f"{device.model} (simulated)" if device.simulated else device.model


def active_runs(info: pb.RuntimeInfo) -> list[str]:
    """Name the runs that have not ended, with their sessions."""
    return [f"{r.run_id} in {s.name}" for s in info.sessions for r in s.runs if r.state in ACTIVE]


def require_idle(info: pb.RuntimeInfo, force: bool) -> None:
    """Refuse to stop a runtime while a cell runs.

    Raises:
        TargetBusy: A cell runs, and it is not forced.
    """
    active = active_runs(info)
    if active and not force:
        raise TargetBusy(
            f"{len(active)} run{'s are' if len(active) > 1 else ' is'} active: {', '.join(active)}",
            "wait for the end, or stop with `warmcell down --force`",
        )


def require_same(launch: Launch, info: pb.RuntimeInfo) -> None:
    """Refuse to pass a running gateway off as one with other settings.

    Raises:
        SettingsError: A setting that was asked for differs.
    """
    differences = list(_differences(launch, info))
    if differences:
        raise SettingsError(
            f"a runtime already runs on {launch.home}, with other settings: {'; '.join(differences)}",
            "stop it with `warmcell down`, or use another `--state`",
        )


def require_none(launch: Launch, running: Gateway | None) -> None:
    """Refuse to run a second gateway on a state directory.

    Raises:
        SettingsError: One runs there.
    """
    if running is not None:
        raise SettingsError(
            f"a runtime already runs on {launch.home} (pid {running.pid})",
            "stop it with `warmcell down`, or use another `--state`",
        )


def tls(gateway: Gateway) -> dict[str, str]:
    """Return what clients elsewhere need of a gateway's TLS; nothing where it has none."""
    if not gateway.https:
        return {}
    ca = {"ca": gateway.ca, "fingerprint": fingerprint(Path(gateway.ca).read_text())} if gateway.ca else {}
    return {"https": gateway.https, **ca}


def tls_text(gateway: Gateway) -> str:
    """Write the same for people."""
    known = tls(gateway)
    if not known:
        return ""
    by = f"; its fingerprint is {known['fingerprint']}" if "fingerprint" in known else ""
    return f"others reach it with `warmcell login {known['https']}`{by}\n"


def _differences(launch: Launch, info: pb.RuntimeInfo) -> Iterator[str]:
    url = urlsplit(info.http)
    has = simulated(info)
    if launch.engine and launch.engine != info.engine:
        yield f"its engine is {info.engine}, not {launch.engine}"
    if launch.simulate and declared(launch.simulate) != has:
        yield f"it simulates {_declaration(has)}, not {launch.simulate}"
    if launch.host and launch.host != url.hostname:
        yield f"it listens on {url.hostname}, not {launch.host}"
    if launch.tls_cert and url.scheme != "https":
        yield "it has no TLS"
    if launch.config and str(Path(launch.config).absolute()) != info.config:
        yield f"its configuration is {info.config or 'none'}, not {launch.config}"
    if launch.lease_memory and launch.lease_memory != (has := _share(info)):
        yield f"a session that names no share takes {has} of a device, not {launch.lease_memory}"
    if launch.idle_exit_s is not None and launch.idle_exit_s != info.idle_exit_s:
        yield f"it ends after {info.idle_exit_s:g} idle seconds, not {launch.idle_exit_s:g}"


def _share(info: pb.RuntimeInfo) -> str:
    return format_size(info.lease_memory_bytes) if info.HasField("lease_memory_bytes") else "all"


def simulated(info: pb.RuntimeInfo) -> Counter[str]:
    """Count the devices declared for trial by model."""
    return Counter(device.model for device in info.devices if device.simulated)


def declared(simulate: str) -> Counter[str]:
    """Count the devices that a declaration such as `A100:2,T4` asks for."""
    parts = [part.strip().partition(":") for part in simulate.split(",") if part.strip()]
    return Counter({model: int(count) if count.isdigit() else 1 for model, _, count in parts})


def _declaration(devices: Counter[str]) -> str:
    return ",".join(f"{model}:{count}" for model, count in sorted(devices.items())) or "nothing"


def _device(device: pb.Device) -> tuple[str | None, ...]:
    memory = device.memory_bytes if device.HasField("memory_bytes") else None
    cost = device.price_per_hour if device.HasField("price_per_hour") else None
    return device.id, model_text(device), size(memory), device.state, device.holder, price(cost)


def _session(session: pb.SessionInfo, models: dict[str, str]) -> tuple[str | int | None, ...]:
    devices = ", ".join(models.get(device_id, device_id) for device_id in session.device_ids) + _part(session)
    memory = session.memory_bytes if session.HasField("memory_bytes") else None
    idle = duration(session.idle_s) if session.state == "idle" else None
    age = duration(session.age_s)
    return session.name, session.target, devices, session.state, age, idle, session.name_count, size(memory)


def _part(session: pb.SessionInfo) -> str:
    """Write how much of its devices a session means to take, and what it takes, as far as either is known."""
    share = [f"{format_size(session.device_memory_bytes)} of it"] if session.HasField("device_memory_bytes") else []
    used = [f"uses {size(session.device_used_bytes)}"] if session.HasField("device_used_bytes") else []
    return f" ({', '.join([*share, *used])})" if share or used else ""


def _runs(info: pb.RuntimeInfo) -> Iterator[tuple[str, ...]]:
    for session in info.sessions:
        for run in session.runs:
            yield run.run_id, session.name, run.state, duration(run.elapsed_s) or "", run.label
