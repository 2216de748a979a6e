"""Packing and unpacking keep nothing alive: a value dies with its last name, without the cycle collector."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from remote_runtime.wire.payload import PackError, pack, unpack
from tests.payload.far import Notebook, arrived, flat


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_a_packed_value_dies_with_its_name(notebook: Notebook) -> None:
    notebook.cell("import json\nclass A:\n def m(self): return json\ndef f(): return 1\nx = [A(), f, json]")
    watched = weakref.ref(notebook.names["x"][0])
    notebook.pack("x")
    del notebook.names["x"]
    assert watched() is None


def test_an_unpacked_value_dies_with_its_name() -> None:
    bundle = arrived(*flat(pack({"x": [{1, 2}, ValueError("a")]}, namespace={}).bundle))
    values = unpack(bundle, {})
    watched = weakref.ref(values["x"][0])
    del values
    assert watched() is None


def test_a_refused_value_dies_with_its_error(notebook: Notebook) -> None:
    notebook.cell("import threading\nclass A: pass\nx = A(); x.lock = threading.Lock()")
    watched = weakref.ref(notebook.names["x"])
    with pytest.raises(PackError) as caught:
        notebook.pack("x")
    del caught, notebook.names["x"]
    assert watched() is None
