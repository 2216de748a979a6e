"""What a run left behind -> the notebook's names, in one go when the run has ended, well or not.

    bundle -> values -.
    Held   -> handles -+-> Results -> bind -> the notebook's namespace
    deleted names ----'

A value that cannot be rebuilt here never takes the others with it: those are fetched one by one, and it is named.
A module that is not installed here is bound to a stand-in that says so when it is used.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from jupyter_ext.far import Far
from kernel_proxy.errors import WarmcellError
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arrival import Arrival
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.data import WHY
from remote_runtime.wire.datareader import read_data
from remote_runtime.wire.excepted import raised
from remote_runtime.wire.unpacking import UnpackError, unpack

EXCEPTION = "!exception"
CONTESTED = "it was changed here while the cell ran"
NOTHING = object()
"""Stands for a result that did not come back, where None would be a value."""


@dataclass(frozen=True)
class Wishes:
    """How the notebook wants a run's names.

    Args:
        renames: Name there -> names here, for `-o here=there`.
        fetched: Names that the cell may have bound: asked for one by one where the bundle cannot be read.
    """

    renames: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fetched: frozenset[str] = frozenset()


@dataclass
class Results:
    """What came back from a run.

    Args:
        values: Name here -> value or handle.
        deleted: Names that are gone there.
        updated: Names whose values were changed there and are changed here now.
        left: Name -> why what changed there is not here.
        problems: Name -> why it could not be rebuilt here; the empty name stands for all of them.
        result: Value of the last expression, or `NOTHING`.
        exception: The user's own exception, if it came back.
    """

    values: dict[str, Any] = field(default_factory=dict)
    deleted: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    left: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    result: Any = NOTHING
    exception: BaseException | None = None


def read(
    end: pb.End, bundle: Bundle | None, namespace: dict[str, Any], far: Far, wishes: Wishes, is_fresh: bool = True
) -> Results:
    """Rebuild what came back, without binding it.

    Args:
        end: The run's end.
        bundle: What travelled with it.
        namespace: The notebook's names, to which functions are bound; not changed.
        far: The session, for what did not travel.
        wishes: How the notebook wants its names.
        is_fresh: Whether the run is what this kernel sent last; of another one, copies are taken: what its bundle calls
            by number may be something else here by now, or to another kernel.
    """
    arrival = far.mirror.arrival(end.turn, end.updated) if bundle is not None and is_fresh else None
    values, problems = _values(end, bundle, namespace, far, wishes.fetched, arrival)
    if problems and end.turn and is_fresh:
        far.mirror.part()
    values.update({held.name: far.handle(held) for held in end.held if not _stands_here(held, namespace)})
    exception, deleted = values.pop(EXCEPTION, None), tuple(end.deleted)
    if far.session.takes_data_only:
        exception = raised(exception)
        # By such names Python finds its own parts; the reader has refused them in bundles.
        values = {name: value for name, value in values.items() if not name.startswith("__")}
        deleted = tuple(name for name in deleted if not name.startswith("__"))
    result = values.pop(end.result_name, NOTHING) if end.result_name else NOTHING
    left = dict(end.ahead)
    if arrival is not None:
        left.update(dict.fromkeys(arrival.contested, CONTESTED), **arrival.unfit)
        values = {name: value for name, value in values.items() if name not in arrival.contested}
    updated = tuple(name for name in end.updated if name not in left and name not in problems)
    return Results(_renamed(values, wishes.renames), deleted, updated, left, problems, result, exception)


def bind(results: Results, namespace: dict[str, Any]) -> None:
    """Put results into the notebook's namespace and take deleted names out."""
    namespace.update(results.values)
    for name in results.deleted:
        namespace.pop(name, None)


def _values(
    end: pb.End,
    bundle: Bundle | None,
    namespace: dict[str, Any],
    far: Far,
    fetched: Iterable[str],
    landing: Arrival | None,
) -> tuple[dict[str, Any], dict[str, str]]:
    if bundle is None or not len(bundle.pickle):
        return {}, {}
    try:
        if far.session.takes_data_only:
            return read_data(bundle, landing), {}
        return _unpacked(bundle, namespace, landing), {}
    except UnpackError as error:
        told = set(fetched).union(end.updated, end.versions)
        wanted = sorted((told & set(end.alive)) - {held.name for held in end.held})
        values, problems = _one_by_one(wanted, far.copy)
        return values, problems if error.name in (*values, *problems) else {error.name: error.message, **problems}


def _stands_here(held: pb.Held, namespace: Mapping[str, Any]) -> bool:
    """Tell whether a name is a module here: where data alone is taken, importing it there takes it from nobody."""
    return held.why == WHY and held.type_name == "module" and type(namespace.get(held.name)) is ModuleType


def _unpacked(bundle: Bundle, namespace: dict[str, Any], landing: Arrival | None) -> dict[str, Any]:
    missing: list[str] = []
    try:
        while True:
            try:
                return unpack(bundle, namespace, landing=landing)
            except UnpackError as error:
                if error.reason != "module" or not error.module or error.module in sys.modules:
                    raise
                # Found by the next attempt's import; gone again afterwards, so that a later import fails as it should.
                sys.modules[error.module] = MissingModule(error.module)  # type: ignore[assignment]
                missing.append(error.module)
    finally:
        for name in missing:
            sys.modules.pop(name, None)


def _one_by_one(names: Iterable[str], copy: Callable[[str], Any]) -> tuple[dict[str, Any], dict[str, str]]:
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name in names:
        try:
            values[name] = copy(name)
        except WarmcellError as error:
            problems[name] = error.message
    return values, problems


def _renamed(values: dict[str, Any], renames: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    bound = {name: value for name, value in values.items() if name not in renames}
    for source, destinations in renames.items():
        if source in values:
            bound.update(dict.fromkeys(destinations, values[source]))
    return bound


class MissingModule:
    """Stands for a module that the worker has and this kernel has not.

    Args:
        name: The module.
    """

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        name = self.__name__
        raise ImportError(
            f"module `{name}` is not installed in this kernel, so `{name}.{attribute}` is not here\n"
            f"hint: use it in a %%gpu cell, or install it here: `%pip install {name.partition('.')[0]}`",
            name=name,
        )

    def __repr__(self) -> str:
        return f"<module {self.__name__!r}, not installed in this kernel>"

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return importlib.import_module, (self.__name__,)
