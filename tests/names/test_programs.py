"""What a plan foresees is what random programs do."""

from __future__ import annotations

import ast

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from jupyter_ext.names import plan
from tests.names.programs import NAMES, can_be_stopped, program, run, straight_program

choices = st.lists(st.integers(0, 3), max_size=30)
bound_names = st.sets(st.sampled_from(NAMES))
bounded = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def compiled(text: str):  # type: ignore[no-untyped-def]
    try:
        code = compile(text, "<program>", "exec", dont_inherit=True)
    except SyntaxError:  # a `global` after the name's use, a `:=` in a class's comprehension
        assume(False)
    assume(can_be_stopped(ast.parse(text)))
    return code


def check(text: str, bound: set[str], choices: list[int]) -> None:
    record = run(compiled(text), bound, choices)
    planned = plan(text, dict.fromkeys(bound))
    changed = planned.binds | planned.deletes
    assert record.read_first <= planned.reads | planned.weak_reads
    assert {key for key in NAMES if key in record and record.get(key) is not record.start.get(key)} <= changed
    assert {key for key in bound if key not in record} <= changed


@bounded
@given(program, bound_names, choices)
def test_a_plan_foresees_what_a_program_does(text: str, bound: set[str], choices: list[int]) -> None:
    check(text, bound, choices)


@pytest.mark.soak
@settings(bounded, max_examples=3_000)
@given(program, bound_names, choices)
def test_a_plan_foresees_what_many_programs_do(text: str, bound: set[str], choices: list[int]) -> None:
    check(text, bound, choices)


@bounded
@given(straight_program)
def test_a_straight_program_reads_exactly_what_is_planned(text: str) -> None:
    record = run(compiled(text), set(NAMES), [])
    planned = plan(text, {})
    assert planned.reads - {"T", "tick"} == record.read_first
    assert planned.weak_reads == planned.deletes == frozenset()
    assert planned.binds == record.touched & set(NAMES)
