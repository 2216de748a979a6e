"""The same random programs, with both ends in one process: many more of them in the same time."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.sync import programs
from tests.sync.programs import LOCALLY, NAMES, PRELUDE, Step
from tests.sync.twoshells import TwoShells, run

# Both ends share their classes here, as they share the process, so a class that is patched is patched at both.
TEMPLATES = [template for template in programs.TEMPLATES if "C.n =" not in template]
RULES = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
FIRST = Step("a = [1]; b = {'k': a}; c = [a, b]; d = C(); e = 3", False)


def shown(namespace: dict[str, Any]) -> str:
    """What the names stand for, and which of them are one object."""
    with contextlib.redirect_stdout(io.StringIO()) as text:
        exec(LOCALLY, namespace)
    return text.getvalue()


def said(where: Any, source: str) -> tuple[str, str]:
    with contextlib.redirect_stdout(io.StringIO()) as text:
        error = where(source)
    return text.getvalue(), error


def compare(program: list[Step]) -> None:
    plain: dict[str, Any] = {"__name__": "__main__"}
    both = TwoShells()
    run(PRELUDE, plain)
    both.local(PRELUDE)
    for step in [FIRST, *program]:
        expected = said(lambda source: run(source, plain), step.source)
        assert said(both.remote if step.is_remote else both.local, step.source) == expected, step
        assert shown(both.here) == shown(plain), step
    alive = ", ".join(f"{name!r}: {name}" for name in NAMES if name in plain)
    assert said(both.remote, f"print(show_all({{{alive}}}))")[0] == shown(plain)


@pytest.mark.timeout(300)
@settings(RULES, max_examples=300)
@given(program=programs.programs_of(TEMPLATES))
def test_programs_do_what_they_do_in_one_shell(program: list[Step]) -> None:
    compare(program)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@settings(RULES, max_examples=50_000, derandomize=False)
@given(program=programs.programs_of(TEMPLATES))
def test_many_programs_do_what_they_do_in_one_shell(program: list[Step]) -> None:
    compare(program)


@pytest.mark.parametrize(
    "sources",
    [
        ["L a = [8]; c = a; a.append(c)\ndef f(): return a", "G a = f()"],
        ["L d = {1, 7}", "G d = [1, 2]\ndel d"],
        ["G try:\n    b.append(0)\nexcept Exception as e:\n    c = type(e).__name__"],
        ["G a.append([1])", "L a += [9]", "G b = c['k']", "L a.pop()"],
        ["G b = collections.deque([d])", "L d = {'k': b, 'l': e}", "G d = b[0]"],
        ["G a.append([9])", "G d = copy.copy(a)\na = np.arange(3)"],
        ["G e = 5", "L del e", "G e = [a]", "L e.append(1)"],
        ["G a += [4]\ndel a"],
        ["L def f(): return c", "L e = D(k=d)", "G for c in [e, e]: pass", "G del e['k']", "G b = d"],
        ["L c = {'k': [0]}", "G a = c", "L a = [c for _ in range(2)]\nc = {'k': [0]}"],
    ],
)
def test_programs_that_once_went_wrong(sources: list[str]) -> None:
    compare([Step(source[2:], source[0] == "G") for source in sources])
