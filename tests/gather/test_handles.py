"""A handle shows what it stands for, fetches on request, and refuses to be used as the value."""

from __future__ import annotations

import copy
import gc
import math
import operator
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kernel_proxy.errors import HandleError, WarmcellError
from kernel_proxy.handles import Handle, ValueInfo, size_text

INFO = ValueInfo("Llama", 1_300_000_000, None, None, "cuda:0", "Llama(\n  <layers>)")


def make(**changes: Any) -> Handle:
    given = {"token": "t1", "name": "model", "info": INFO, "session_id": "s", "where": "A100"}
    return Handle(**{"fetch": lambda token, timeout_s, trust: (token, timeout_s), **given, **changes})


def test_the_repr_says_what_it_stands_for() -> None:
    assert repr(make()) == "<gpu var model: Llama, 1.3 GB, A100>"
    array = replace(INFO, type_name="Tensor", shape=(3, 4), dtype="float32", size_bytes=None)
    assert repr(make(info=array, name="x")) == "<gpu var x: Tensor, (3, 4) float32, -, A100>"


def test_the_html_is_escaped_and_shows_the_preview() -> None:
    shown = make()._repr_html_()
    assert "&lt;gpu var model: Llama" in shown and "&lt;layers&gt;" in shown and "model.get()" in shown


def test_get_fetches_by_token() -> None:
    assert make().get(timeout_s=3.0) == ("t1", 3.0)


USES: dict[str, Callable[[Any], Any]] = {
    "+": lambda h: h + 1,
    "reflected +": lambda h: 1 + h,
    "+=": lambda h: operator.iadd(h, 1),
    "@": lambda h: h @ h,
    "-x": operator.neg,
    "<": lambda h: h < 1,
    "bool": bool,
    "int": int,
    "float": float,
    "round": round,
    "floor": math.floor,
    "len": len,
    "iter": list,
    "in": lambda h: 1 in h,
    "[ ]": lambda h: h[0],
    "[ ] =": lambda h: operator.setitem(h, 0, 1),
    "call": lambda h: h(1),
    "attribute": lambda h: h.shape,
    "with": lambda h: h.__enter__(),
    "pickle": pickle.dumps,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_local_use_is_an_error_that_tells_get(use: Callable[[Any], Any]) -> None:
    with pytest.raises(HandleError, match=r"`model` is a Llama that stays on A100(.|\n)*`model.get\(\)` copies it here"):
        use(make())


def test_an_array_of_it_is_refused() -> None:
    np = pytest.importorskip("numpy")
    with pytest.raises(HandleError):
        np.asarray(make())
    with pytest.raises(HandleError):
        np.ones(2) * make()


def test_the_error_is_a_type_error_and_hasattr_works() -> None:
    assert issubclass(HandleError, TypeError) and issubclass(HandleError, WarmcellError)
    assert not hasattr(make(), "shape")


def test_a_handle_is_equal_to_itself_alone() -> None:
    one, other = make(), make()
    assert one == one and one != other and len({one, other}) == 2


def test_dropping_the_last_reference_is_told_once() -> None:
    dropped: list[str] = []
    handle = make(on_drop=dropped.append)
    kept = handle
    del handle
    gc.collect()
    assert dropped == []
    del kept
    gc.collect()
    assert dropped == ["t1"]


@pytest.mark.parametrize(
    "size_bytes, text",
    [(None, "-"), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_999, "1.0 MB"), (123_456_789, "123 MB"), (2**50, "1126 TB")],
)
def test_sizes_read_well(size_bytes: int | None, text: str) -> None:
    assert size_text(size_bytes) == text
