"""One row of a table: a cell, and the names that its plan must have, as words."""

from __future__ import annotations

from typing import NamedTuple

from jupyter_ext.names import plan


class Row(NamedTuple):
    cell: str
    reads: str = ""
    binds: str = ""
    weak: str = ""
    deletes: str = ""


def check(row: Row) -> None:
    planned = plan(row.cell, {})
    assert planned.reads == set(row.reads.split())
    assert planned.weak_reads == set(row.weak.split())
    assert planned.binds == set(row.binds.split())
    assert planned.deletes == set(row.deletes.split())
