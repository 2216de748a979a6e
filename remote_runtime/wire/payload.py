"""Named values as one bundle, and back: the one door to cloudpickle.

    {name: value} -> pack -> Bundle (one stream, out-of-band buffers) -> unpack -> {name: value}

The stream is: the namespace and the objects that both ends hold, by number; what changed in them; (name,
value) pairs; what the receiver must know to number the new ones; a check sum. All is written by one pickler,
so that an object met twice is one object on arrival. The namespace and what both ends hold are never written.
They stand in the pickler's memo from the start, and in the unpickler's as the receiver's own: functions are
bound on arrival to the live namespace there, and a list that was sent before is the list that is there. What
globals code mentions is collected, and `expand` is asked which of them shall travel too.

Values are written after what their code mentions, so that code which runs while one is rebuilt finds its
globals. Classes and functions are looked at first; where it is seen too late that code needs something, all
is written again.
"""

from __future__ import annotations

import ast
import contextlib
import pickle
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cloudpickle import cloudpickle

from remote_runtime.wire import kinds, problems, reducers
from remote_runtime.wire.bundle import Bundle, opening, seal
from remote_runtime.wire.common import Shared
from remote_runtime.wire.contents import parts_of
from remote_runtime.wire.order import Expand, Plan
from remote_runtime.wire.problems import PackError, TooLarge
from remote_runtime.wire.sink import Sink
from remote_runtime.wire.unpacking import UnpackError, unpack
from remote_runtime.wire.views import reduce_view

__all__ = ["Bundle", "PackError", "Packed", "TooLarge", "UnpackError", "frozen", "pack", "unpack"]

ATTEMPTS = 3
"""How often a bundle is written until the order suits code that runs on arrival; then it goes as it is. And how often
anew because another thread was changing a value."""


@dataclass(frozen=True)
class Packed:
    """A bundle, and what is in it.

    Args:
        bundle: What travels.
        sizes: Bytes per name, its buffers included; what two names share counts for the first.
        names: The names in the order in which they arrive.
        needs: Globals that the code in a name's value mentions.
    """

    bundle: Bundle
    sizes: Mapping[str, int]
    names: tuple[str, ...]
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def frozen(value: object) -> bytes:
    """Return a value as one plain pickle, with the globals that its code mentions: for who has no session."""
    return cloudpickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def pack(
    values: Mapping[str, object],
    *,
    namespace: dict[str, Any],
    reference: Callable[[object], object | None] | None = None,
    expand: Expand | None = None,
    limit_bytes: int | None = None,
    shared: Shared | None = None,
) -> Packed:
    """Pickle named values into one bundle.

    Args:
        values: What shall travel.
        namespace: The dict whose functions bind to the receiver's namespace.
        reference: Gives a token for an object that travels as that token, else None. It is asked for every
            object that is no plain container, text or number; the receiver's `resolve` gives the object.
        expand: Asked for names that code mentions and that do not travel yet; each name once.
        limit_bytes: The most that the bundle may hold.
        shared: What both ends hold already.

    Raises:
        PackError: A value cannot travel.
        TooLarge: The limit was passed.
    """
    for _ in range(ATTEMPTS):
        try:
            return _packed(values, namespace, (reference, limit_bytes, shared), expand)
        except PackError as error:
            if not problems.is_changing(error.cause):
                raise
    return _packed(values, namespace, (reference, limit_bytes, shared), expand)


def _packed(
    values: Mapping[str, object], namespace: dict[str, Any], how: tuple[Any, Any, Any], expand: Expand | None
) -> Packed:
    reference, limit_bytes, shared = how
    plan = Plan(values, expand)
    _scout(_Stream(namespace, reference, None, shared), plan, str(namespace.get("__name__", "__main__")))
    for _ in range(ATTEMPTS):
        stream = _Stream(namespace, reference, limit_bytes, shared)
        stream.write_contents(plan)
        if _write(stream, plan):
            break
    return stream.packed(plan.mentions())


def _scout(stream: _Stream, plan: Plan, main: str) -> None:
    """Learn what code mentions, before any data is written.

    Args:
        stream: One that is thrown away.
        plan: Grows.
        main: `__name__` of the namespace, whose classes travel by value.
    """
    waiting = list(plan.values)
    for name in waiting:
        value = plan.values[name]
        code = value if _is_code(value) else type(value)
        if code is value or code.__module__ == main:
            stream.glance(code)
            waiting += plan.learn(name, stream.take_mentions())


def _write(stream: _Stream, plan: Plan) -> bool:
    """Write all values; the plan grows by what their code mentions.

    Returns:
        False when code that runs on arrival would miss something, and another order serves it better.
    """
    written, done, early = plan.order(), set[str](), False
    for name in written:
        stream.write(name, plan.values[name])
        written += plan.learn(name, stream.take_mentions())
        done.add(name)
        early = early or (stream.runs_code and not plan.needs(name) <= done)
    return not early or plan.order() == written


def _is_code(value: object) -> bool:
    kind = type(value)
    return issubclass(kind, (type, types.FunctionType)) or hasattr(kind, "cache_parameters")


class _Stream(cloudpickle.Pickler):
    """One pickler for a whole bundle.

    Args:
        namespace: Stands in the memo from the start.
        reference: As `pack` takes it.
        limit_bytes: As `pack` takes it.
        shared: As `pack` takes it.
    """

    def __init__(
        self,
        namespace: dict[str, Any],
        reference: Callable[[object], object | None] | None,
        limit_bytes: int | None,
        shared: Shared | None,
    ) -> None:
        self.sink = Sink(limit_bytes)
        super().__init__(self.sink, protocol=5, buffer_callback=self.sink.keep)
        self.runs_code = False
        self._namespace, self._reference, self._shared = namespace, reference, shared
        self._mentions: dict[str, None] = {}
        self._sizes: dict[str, int] = {}
        self._written: list[str] = []
        self._contents_end = (0, 0)
        self._by_type: dict[int, str | Callable[[Any], Any] | None] = {}
        self._begin()

    def _begin(self) -> None:
        """Write which objects are known, and let the namespace and them stand in the memo."""
        self._views = self._shared.views() if self._shared is not None else {}
        known = self._shared.known() if self._shared is not None else []
        self.sink.write(opening([0, *(number for number, _ in known)]))
        here: list[object] = [self._namespace, *(obj for _, obj in known)]
        self.memo = {id(obj): (place, obj) for place, obj in enumerate(here)}

    def write_contents(self, plan: Plan) -> None:
        """Write what changed in known objects.

        Raises:
            PackError: It cannot travel.
            TooLarge: The limit was passed.
        """
        for name, number, content in self._shared.contents() if self._shared is not None else ():
            if content[0] == "function":
                self._mention(cloudpickle._extract_code_globals(content[1][0]))
            self._append(name, content, (name, number, content))
            plan.learn(name, self.take_mentions())
        self.dump(None)
        self._contents_end = len(self.sink.chunks), len(self.sink.buffers)

    def write(self, name: str, value: object) -> None:
        """Append a name and its value.

        Raises:
            PackError: The value cannot travel.
            TooLarge: The limit was passed.
        """
        self.runs_code = not _is_code(value)
        self._append(name, value, name, value)
        self._written.append(name)

    def _append(self, name: str, value: object, *parts: object) -> None:
        self.sink.name, before = name, self.sink.size_bytes
        try:
            for part in parts:
                self.dump(part)
        except (TooLarge, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001  # pickling runs the user's code, which may raise anything
            raise self._problem(name, value, error) from error
        self._sizes[name] = self._sizes.get(name, 0) + self.sink.size_bytes - before

    def glance(self, code: object) -> None:
        """Look for what code mentions; what it cannot pickle shows when its value is written."""
        with contextlib.suppress(Exception, SystemExit, GeneratorExit):  # noqa: BLE001  # pickling runs the user's code
            self.dump(code)

    def _problem(self, name: str, value: object, error: BaseException) -> PackError:
        rules = _Stream(self._namespace, self._reference, None, None)
        found = problems.locate(name, value, error, problems.Tracer(rules, self._namespace))
        return PackError(name, found.path, found.kind, found.hint, error)

    def take_mentions(self) -> dict[str, None]:
        """Return the globals that code mentioned since the last call, in order."""
        mentions, self._mentions = self._mentions, {}
        return mentions

    def packed(self, needs: Mapping[str, tuple[str, ...]]) -> Packed:
        """End the stream."""
        self.dump(None)
        self.dump(self._shared.tail(self.memo.copy(), needs) if self._shared is not None else None)
        chunks, buffers = self.sink.chunks, self.sink.buffers
        known = self._shared.contents_known() if self._shared is not None else {}
        parts = parts_of(chunks, buffers, self._contents_end, known)
        bundle = Bundle(b"".join((*chunks, seal(*chunks))), tuple(buffers), parts)
        return Packed(bundle, self._sizes, tuple(self._written), needs)

    def reducer_override(self, obj: Any) -> Any:
        """Reduce what pickle cannot, or does wrongly; the type decides once how."""
        if self._reference is not None:
            token = self._reference(obj)
            if token is not None:
                return reducers.resolve_here, (token,)
        kind = type(obj)
        if id(kind) not in self._by_type:
            self._by_type[id(kind)] = self._choose(kind)
        reduce = self._by_type[id(kind)]
        if isinstance(reduce, str):  # a method by name: bound, it would make a cycle with the memo
            return getattr(self, reduce)(obj)
        return NotImplemented if reduce is None else reduce(obj)

    def _choose(self, kind: type) -> str | Callable[[Any], Any] | None:
        if issubclass(kind, type):
            return "_class"
        if kind is types.FunctionType:
            return "_function"
        if issubclass(kind, types.ModuleType):
            return "_module"
        if self._views and kind.__module__ == "numpy" and kind.__name__ == "ndarray":
            return "_array"
        known = kinds.kind_of(kind)
        if (known is not None and known.refused) or kind in reducers.standard_kinds():
            return reducers.reduce_standard
        return reducers.reducer_for(kind)

    def _class(self, cls: type) -> Any:
        reduced, dynamic = reducers.reduce_class(cls)
        if dynamic:
            self.runs_code = True
            self._mention(_names_in(cls.__dict__.get("__annotations__")))
        return reduced

    def _function(self, func: types.FunctionType) -> Any:
        if cloudpickle._should_pickle_by_reference(func):
            return NotImplemented
        if reducers.is_dispatch(func):
            return reducers.reduce_dispatch(func)
        if func.__globals__ is not self._namespace:
            return self._dynamic_function_reduce(func)
        self._mention(cloudpickle._extract_code_globals(func.__code__))
        self._mention(_names_in(func.__annotations__))
        return reducers.reduce_function(func)

    def _array(self, array: Any) -> Any:
        place = self._views.get(id(array))
        return reduce_view(array, place) if place is not None else NotImplemented

    def _module(self, module: types.ModuleType) -> Any:
        own = vars(module) is self._namespace
        return (reducers.module_here, ()) if own else cloudpickle._module_reduce(module)

    def _mention(self, names: Iterable[str]) -> None:
        self._mentions.update(dict.fromkeys(names))


def _names_in(annotations: object) -> set[str]:
    """Return the names in annotations that are still text."""
    texts = (
        [text for text in annotations.values() if isinstance(text, str)]
        if isinstance(annotations, dict)
        else []
    )
    return {name for text in texts for name in _names_of(text)}


def _names_of(text: str) -> set[str]:
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):  # an annotation may be any text
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
