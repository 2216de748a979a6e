"""A cell that skips IPython's transformers is one that they would not have changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell

from remote_runtime.worker.plaincells import PlainCells

PLAIN = [
    "y = x + 1",
    "# a comment\nimport os\nos",
    "for i in range(3):\n    print(i)\ni",
    "def f():\n    '''%time is text'''\n    return 1\nf()",
    "x = (1\n  % 2)  # what?\nx",
    "with open('a') as f: pass",
    "\n\na = 'ls?'",
    "del a",
]
NOT_PLAIN = [
    "%time x", "%%time\nx = 1", "!ls", "x = !ls", "x = %time 1", "x?", "exit", "ls", "print(1)", ">>> x = 1",
    "In [1]: x = 2", "  x = 1", "x = '\\d'", "", "# only a comment", "x = 1 +", "a: int = 3",
]  # fmt: skip


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    made = InteractiveShell()
    yield made
    made.restore_sys_module_state()


@pytest.mark.parametrize("source", PLAIN)
def test_what_is_plain_would_not_be_changed(source: str, shell: InteractiveShell) -> None:
    assert PlainCells(shell).holds(source)
    changed = shell.transform_cell(source)
    assert changed.strip() == source.strip()


@pytest.mark.parametrize("source", NOT_PLAIN)
def test_what_may_be_changed_is_left_to_the_transformers(source: str, shell: InteractiveShell) -> None:
    assert not PlainCells(shell).holds(source)


@pytest.mark.parametrize("where", ["cleanup_transforms", "line_transforms", "token_transformers"])
def test_a_transformer_of_the_users_sees_every_cell(where: str, shell: InteractiveShell) -> None:
    plain = PlainCells(shell)
    getattr(shell.input_transformer_manager, where).append(lambda lines: lines)
    assert not plain.holds("y = x + 1")


def test_a_late_transformer_of_the_users_sees_every_cell(shell: InteractiveShell) -> None:
    plain = PlainCells(shell)
    shell.input_transformers_post.append(lambda lines: lines)
    assert not plain.holds("y = x + 1")
