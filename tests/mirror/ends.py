"""Two ends of a mirror in one process: a namespace each, and bundles that go between them."""

from __future__ import annotations

from typing import Any

from remote_runtime.wire.arrival import Arrival
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.delta import Delta
from remote_runtime.wire.mirror import Mirror
from remote_runtime.wire.payload import Packed, pack, unpack


class End:
    """One of the two."""

    def __init__(self, side: int) -> None:
        self.ns: dict[str, Any] = {"__name__": "__main__"}
        self.mirror = Mirror(side)

    def do(self, source: str) -> None:
        exec(source, self.ns)

    def ask(self, expression: str) -> Any:
        return eval(expression, self.ns)

    def weigh(self, *names: str, **how: bool) -> Delta:
        delta = Delta(self.mirror, self.ns.__getitem__)
        for name in names:
            delta.weigh(name, self.ns[name], **how)
        return delta

    def pack(self, delta: Delta) -> Packed:
        delta.views()  # may find more that is new
        packed = pack({name: self.ns[name] for name in delta.new}, namespace=self.ns, shared=delta)
        delta.settle(packed.names, packed.needs)
        return packed

    def take(self, bundle: Bundle) -> Arrival:
        arrival = Arrival(self.mirror)
        copied = Bundle(bytes(bundle.pickle), tuple(memoryview(bytearray(buffer)) for buffer in bundle.buffers))
        self.ns.update(unpack(copied, self.ns, landing=arrival))
        return arrival


class Pair:
    """Both ends: `send` goes there, `back` comes here."""

    def __init__(self) -> None:
        self.here, self.there = End(0), End(1)

    def send(self, *names: str, **how: bool) -> Packed:
        return _carry(self.here, self.there, names, how)

    def back(self, *names: str, **how: bool) -> Packed:
        return _carry(self.there, self.here, names, how)


def _carry(source: End, target: End, names: tuple[str, ...], how: dict[str, bool]) -> Packed:
    packed = source.pack(source.weigh(*names, **how))
    target.take(packed.bundle)
    return packed
