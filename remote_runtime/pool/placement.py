"""Placement: what somebody wants, what there is and who holds it -> devices, or why not. Pure.

    wants, Floor(devices, held, places) -> decide -> Chosen | Busy | Unavailable

Wants are tried in the order of preference. The devices of one lease are of one model, and never simulated
beside real. Nothing is substituted: what the runtime does not have is an answer of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from remote_runtime.engines.base import CPU, Device
from remote_runtime.pool import shares
from remote_runtime.pool.shares import Hold
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.targets import GB, Want, format_target, matches, short_model


@dataclass(frozen=True)
class Floor:
    """All that placement looks at.

    Args:
        devices: In order of preference, the processor among them.
        held: Device id -> who holds it, or shares of it.
        full: Why no further worker may be leased; "" while there are places.
        sessions: Every session, for places: session id -> its hold.
    """

    devices: Sequence[Device]
    held: Mapping[str, Sequence[Hold]] = field(default_factory=dict)
    full: str = ""
    sessions: Mapping[str, Hold] = field(default_factory=dict)

    def fits(self, device: Device, want: Want, without: Container[str] = ()) -> bool:
        """Tell whether a want could take a device now, or once some sessions are gone."""
        if device.id == CPU:
            return True
        holds = [hold for hold in self.held.get(device.id, ()) if not hold.session_id or hold.session_id not in without]
        return shares.fits(device, holds, want.share_bytes)


@dataclass(frozen=True)
class Chosen:
    """The want can be met now, with these devices, or a share of the memory of each."""

    devices: tuple[Device, ...]
    share_bytes: int | None = None


@dataclass(frozen=True)
class Busy:
    """The want can be met later.

    Args:
        reason: In words, such as "A100 is held by session nb-demo".
        holders: Who is in the way.
        candidates: Device ids that would do, free ones too; nobody later may take them first.
        victims: Sessions whose release would be enough, all of them idle; empty where that does not help.
    """

    reason: str
    holders: tuple[str, ...]
    candidates: tuple[str, ...] = ()
    victims: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unavailable:
    """The runtime can never meet the want."""

    failure: Failed


Decision = Chosen | Busy | Unavailable


def decide(wants: Sequence[Want], floor: Floor) -> Decision:
    """Decide who gets what.

    Args:
        wants: In order of preference.
        floor: The state of the runtime.
    """
    groups = [(want, group) for want in wants for group in _groups(want, floor.devices)]
    if not groups:
        return Unavailable(unavailable(wants, floor.devices))
    for want, group in groups:
        free = _free(want, group, floor)
        if len(free) >= want.count and not floor.full:
            return Chosen(tuple(free[: want.count]), want.share_bytes)
    return _busy(groups, floor)


def _groups(want: Want, devices: Sequence[Device]) -> list[list[Device]]:
    """Return the sets of devices that could meet a want when they are free, best first."""
    processor = [d for d in devices if d.id == CPU]
    if want.kind == "cpu":
        return [processor]
    fitting = [
        d for d in devices
        if d.id != CPU and matches(want, d.model, d.memory_bytes) and shares.could_fit(d, want.share_bytes)
    ]  # fmt: skip
    if want.kind != "any":
        return _by_model(fitting, want.count)
    real = _by_model([d for d in fitting if not d.simulated], want.count)
    return [*real, processor] if want.count == 1 else real


def _by_model(devices: Iterable[Device], count: int) -> list[list[Device]]:
    models: dict[tuple[str, bool], list[Device]] = {}
    for device in devices:
        if device.state != "failed":
            models.setdefault((device.model, device.simulated), []).append(device)
    return [group for group in models.values() if len(group) >= count]


def _free(want: Want, group: Iterable[Device], floor: Floor) -> list[Device]:
    """Return the devices that a want could take; one that is shared already comes first, to keep others whole."""
    fitting = [d for d in group if floor.fits(d, want)]
    return sorted(fitting, key=lambda d: d.id not in floor.held)


def _busy(groups: Sequence[tuple[Want, list[Device]]], floor: Floor) -> Busy:
    victims = next((v for want, group in groups if (v := _victims(want, group, floor))), ())
    candidates = tuple(d.id for _, group in groups for d in group if d.id != CPU)
    if any(len(_free(want, group, floor)) >= want.count for want, group in groups):
        holders = tuple(hold.holder for hold in floor.sessions.values())
        return Busy(floor.full, holders, (), victims)
    taken = [(want, d) for want, group in groups for d in group if not floor.fits(d, want)]
    holders = tuple(dict.fromkeys(holder for _, d in taken for holder in _holders(d, floor)))
    names = " and ".join(dict.fromkeys(_lacking(want, d, floor) for want, d in taken))
    return Busy(f"{names} is held by {', '.join(holders)}", holders, candidates, victims)


def _lacking(want: Want, device: Device, floor: Floor) -> str:
    """Name a device that cannot be had, with what is left of it where a share was asked for."""
    left_bytes = shares.left_bytes(device, floor.held.get(device.id, ()))
    if want.share_bytes is None or not left_bytes:
        return _short(device)
    return f"{_short(device)} ({left_bytes / GB:.1f} GB left)"


def _holders(device: Device, floor: Floor) -> list[str]:
    return [hold.holder for hold in floor.held.get(device.id, ())] or [device.holder or "another process"]


def _victims(want: Want, group: Sequence[Device], floor: Floor) -> tuple[str, ...]:
    """Return the idle sessions whose release would be enough, the longest idle first."""
    if len(_free(want, group, floor)) >= want.count:  # it is places that lack: one will do
        return tuple(hold.session_id for hold in _longest_idle(floor.sessions.values()))[:1]

    def enough(gone: Sequence[str]) -> bool:
        return sum(floor.fits(d, want, gone) for d in group) >= want.count

    chosen: list[str] = []
    for hold in _longest_idle(hold for d in group for hold in floor.held.get(d.id, ())):
        if hold.session_id not in chosen and not enough(chosen):
            chosen.append(hold.session_id)
    if not enough(chosen):
        return ()
    for session_id in [*chosen]:  # one that was chosen early may not be needed any more
        rest = [one for one in chosen if one != session_id]
        chosen = rest if enough(rest) else chosen
    return tuple(chosen)


def _longest_idle(holds: Iterable[Hold]) -> list[Hold]:
    idle = [hold for hold in holds if hold.idle_s is not None and hold.session_id]
    return sorted(idle, key=lambda hold: -(hold.idle_s or 0))


def unavailable(wants: Sequence[Want], devices: Sequence[Device]) -> Failed:
    """Return the failure that lists what there is, and how to go on."""
    wanted = format_target(wants)
    offers = offered(devices)
    first = next((w for w in wants if w.kind == "model"), wants[0])
    return Failed(
        "target-unavailable",
        f"this runtime has no {wanted}; it has {', '.join(offers)}",
        "`%%gpu cpu` runs the cell without a GPU, and "
        f"`warmcell up --simulate {_simulation(first)}` declares one for trial",
        {"target": wanted, "offers": "\n".join(offers)},
    )


def offered(devices: Sequence[Device]) -> list[str]:
    """List devices by model with count and price, such as "2 x A100 (simulated, price -)"."""
    counts = Counter((_short(d), d.simulated, d.id == CPU) for d in devices)
    return [
        f"{'' if is_cpu else f'{count} x '}{model} ({'simulated, ' if is_simulated else ''}price -)"
        for (model, is_simulated, is_cpu), count in counts.items()
    ]


def free_now(floor: Floor) -> list[str]:
    """List what could be had at once, as `offered` does."""
    return [] if floor.full else offered(_free(Want("any"), floor.devices, floor))


def _short(device: Device) -> str:
    return device.model if device.simulated or device.id == CPU else short_model(device.model)


def _simulation(want: Want) -> str:
    return f"{want.model or 'A100'}{f':{want.count}' if want.count > 1 else ''}"


def fits(wants: Sequence[Want], devices: Sequence[Device]) -> bool:
    """Tell whether the devices that a session holds meet a want; `any` is met by whatever it holds."""
    return any(want.kind == "any" or _meets(want, devices) for want in wants)


def _meets(want: Want, devices: Sequence[Device]) -> bool:
    return len(devices) == want.count and all(matches(want, d.model, d.memory_bytes) for d in devices)


def arrange(waiting: Iterable[Sequence[Want]], floor: Floor) -> list[Decision]:
    """Decide for everybody who waits, in order: what an earlier one waits for is not given to a later one.

    Args:
        waiting: The wants of each, first come first.
        floor: The state of the runtime before anybody of them is served. Only the first decision that is
            `Chosen` may be acted on before asking again.
    """
    decisions: list[Decision] = []
    for wants in waiting:
        decisions.append(decide(wants, floor))
        if isinstance(decisions[-1], Busy):
            floor = _behind(decisions[-1], floor)
    return decisions


def _behind(ahead: Busy, floor: Floor) -> Floor:
    """Return the floor as those see it who come after somebody who waits."""
    ahead_of_you = Hold("", "somebody who waits longer")
    held = {i: tuple(_spared(hold, ahead.victims) for hold in holds) for i, holds in floor.held.items()}
    for i in ahead.candidates:
        if all(hold.share_bytes is not None for hold in held.get(i, ())):  # else nobody could take it anyway
            held[i] = (*held.get(i, ()), ahead_of_you)
    sessions = {i: _spared(hold, ahead.victims) for i, hold in floor.sessions.items()}
    full = floor.full or ("" if ahead.candidates else ahead.reason)
    return Floor(floor.devices, held, full, sessions)


def _spared(hold: Hold, victims: Sequence[str]) -> Hold:
    """Return a hold that no later waiter counts on, where an earlier one does."""
    return replace(hold, idle_s=None) if hold.session_id in victims else hold
