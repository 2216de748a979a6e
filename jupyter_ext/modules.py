"""The local modules of a cell: found in its imports and its values, sent ahead of its run, named in it.

    plan, capture -> names -> Tree -> what the session lacks -> the run's `sources`

A module that a cell has used stays in its session's tree from then on, for what it left there may need it.
"""

from __future__ import annotations

from collections.abc import Iterable

from jupyter_ext import display
from jupyter_ext.connection import Connection
from jupyter_ext.far import Far
from jupyter_ext.names import CellPlan
from jupyter_ext.receipt import size_text
from jupyter_ext.trip import Trip
from kernel_proxy.gather import Capture
from kernel_proxy.gather import Row as GatherRow
from kernel_proxy.sources import Tree


def bring(trip: Trip, plan: CellPlan, capture: Capture) -> str:
    """Send the local modules that a cell needs, as far as the session lacks them.

    Returns:
        What the run names them by; empty where it needs none.

    Raises:
        CaptureError: A module cannot travel.
    """
    trip.facts.sources = 0
    tree, count = synced(trip.connection, trip.far, plan.imports, capture)
    trip.facts.sources = count
    return tree


def synced(connection: Connection, far: Far, imports: Iterable[str], capture: Capture) -> tuple[str, int]:
    """Send local modules ahead of a run, or of values.

    Returns:
        The tree's digest, empty where none is needed, and how many files were sent.

    Raises:
        CaptureError: A module cannot travel.
    """
    shipment, known = far.shipment, connection.sources
    mentioned = known.mentioned(imports, bytes(capture.packed.bundle.pickle))
    if not mentioned and not shipment.names:
        return "", 0
    tree = known.tree(shipment.names | mentioned)
    required: frozenset[str] = frozenset()
    if tree.compiled:
        homes = known.homes(connection.namespace.get(name) for name in capture.packed.names)
        required = tree.required(homes.union(name.partition(".")[0] for name in imports))
    count = shipment.bring(far.session, far.key, tree, required)
    shipment.names |= mentioned
    for sentence in tree.left:
        if sentence not in connection.warned:
            connection.warned.add(sentence)
            display.notice(connection.shell, sentence)
    return tree.digest, count


def foreseen(connection: Connection, far: Far | None, plan: CellPlan, rows: Iterable[GatherRow]) -> tuple[str, ...]:
    """Tell which local modules a cell would need, in lines for a report; nothing is sent."""
    values = (connection.namespace.get(row.name) for row in rows if row.action == "send")
    mentioned = connection.sources.mentioned(plan.imports, b"") | connection.sources.homes(values)
    names = mentioned | (far.shipment.names if far is not None else frozenset())
    tree = connection.sources.tree(names) if names else Tree()
    listed = [f"{name} ({_what(tree, name)})" for name in sorted(tree.parts)]
    return (*([f"local modules: {', '.join(listed)}"] if listed else []), *tree.left)


def _what(tree: Tree, name: str) -> str:
    if name in tree.compiled:
        return f"compiled parts, must be installed there: {tree.compiled[name]}"
    part = tree.parts[name]
    files = [*part.sources.values(), *(file for key, file in part.data.items() if key in tree.data)]
    count = f"{len(files)} file{'s' if len(files) != 1 else ''}"
    return f"{count}, {size_text(sum(len(file.content) for file in files))}"
