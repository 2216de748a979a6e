"""Every row of the corpus holds exactly."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from jupyter_ext.names import plan

ROWS = json.loads((Path(__file__).parents[1] / "corpus" / "cells.json").read_text())
NEW_GRAMMAR = "3.12+ grammar"


def note_of(row: dict) -> str:
    return row.get("note", "")


@pytest.mark.parametrize("row", ROWS, ids=[row["cell"] for row in ROWS])
def test_row(row: dict) -> None:
    if NEW_GRAMMAR in note_of(row) and sys.version_info < (3, 12):
        pytest.skip("this Python does not have the grammar")
    planned = plan(row["cell"], {})
    assert planned.reads == set(row["reads"])
    assert planned.weak_reads == set(row["weak"])
    assert planned.binds == set(row["binds"])
    assert planned.deletes == set(row.get("deletes", ()))


@pytest.mark.parametrize("row", ROWS, ids=[row["cell"] for row in ROWS])
def test_what_cannot_be_planned_says_so(row: dict) -> None:
    if NEW_GRAMMAR in note_of(row) and sys.version_info < (3, 12):
        pytest.skip("this Python does not have the grammar")
    planned = plan(row["cell"], {})
    is_dynamic = "dynamic" in note_of(row) or "warn" in note_of(row)
    assert bool(planned.warnings) == is_dynamic
    assert all("`-i" in warning for warning in planned.warnings)
    assert bool(planned.refusals) == ("error" in note_of(row) and "NameError" not in note_of(row))
