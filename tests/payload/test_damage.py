"""Whatever is wrong with a bundle on arrival is an UnpackError that says so; the receiver lives on."""

from __future__ import annotations

import pickle
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remote_runtime.wire import reducers
from remote_runtime.wire.bundle import SEAL_BYTES, seal
from remote_runtime.wire.payload import Bundle, UnpackError, pack, unpack
from tests.payload.far import FarError, Notebook, arrived, flat


def sample(notebook: Notebook) -> Bundle:
    notebook.cell(
        "import numpy as np, functools\nfrom dataclasses import dataclass\ncfg = {'lr': [0.5, None, 'text']}\n"
        "@dataclass\nclass P:\n a: int = 1\ndef f(v=P()): return cfg, v\nx = [P(), f, np.arange(500.), np.arange(3), {1, 2}]"
    )
    return notebook.pack("x").bundle


def test_a_cut_stream_is_seen_wherever_it_is_cut(notebook: Notebook) -> None:
    pytest.importorskip("numpy")
    bundle = sample(notebook)
    size = len(bundle.pickle)
    for at in sorted({*range(0, size, max(1, size // 150)), size - 1, size - 2}):
        with pytest.raises(UnpackError):
            unpack(Bundle(bundle.pickle[:at], bundle.buffers), namespace={})


def test_a_cut_stream_leaves_the_far_side_alive(notebook: Notebook) -> None:
    pytest.importorskip("numpy")
    bundle = sample(notebook)
    for at in range(0, len(bundle.pickle), 97):
        with pytest.raises(FarError) as caught:
            notebook.far.put(Bundle(bundle.pickle[:at], bundle.buffers))
        assert caught.value.kind == "UnpackError"
    notebook.far.put(bundle)
    assert notebook.far.ask("x[1]()[0]['lr'][0]") == 0.5


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_bytes_are_seen_before_anything_is_rebuilt(data: st.DataObject) -> None:
    bundle = pack({"x": [1, "two", {3: b"4"}], "f": len}, namespace={}).bundle
    damaged = bytearray(bundle.pickle)
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(UnpackError, match="the check sum differs") as caught:
        unpack(Bundle(bytes(damaged), bundle.buffers), namespace={})
    assert caught.value.reason == "torn"


@pytest.mark.parametrize("change", ["lost", "cut", "added"])
def test_wrong_buffers_are_seen(change: str) -> None:
    np = pytest.importorskip("numpy")
    pickled, buffers = flat(pack({"x": np.arange(500.0), "y": np.ones(500)}, namespace={}).bundle)
    buffers = {"lost": buffers[:1], "cut": [buffers[0][:100], buffers[1]], "added": [*buffers, b"more"]}[change]
    with pytest.raises(UnpackError):
        unpack(arrived(pickled, buffers), namespace={})


def test_bytes_after_the_end_are_seen() -> None:
    bundle = pack({"x": 1}, namespace={}).bundle
    with pytest.raises(UnpackError, match="the bundle is cut or damaged") as caught:
        unpack(Bundle(bundle.pickle + b"N."), namespace={})
    assert caught.value.reason == "torn"


def test_an_empty_bundle_is_a_bundle() -> None:
    assert unpack(pack({}, namespace={}).bundle, namespace={}) == {}


def test_a_missing_module_is_named(notebook: Notebook, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here_module.py").write_text("def f(): return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    notebook.cell("import only_here_module as m\ndef use(): return m.f()")
    with pytest.raises(
        FarError,
        match="`m` cannot be rebuilt where it arrived: module `only_here_module` is not installed there\nhint: install `only_here_module` there",
    ) as caught:
        notebook.send("use")
    sys.modules.pop("only_here_module")
    assert caught.value.reason == "module"


def test_a_missing_attribute_is_named_with_its_module(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    newer = type("Newer", (), {"__module__": "json"})
    monkeypatch.setattr(json, "Newer", newer, raising=False)
    notebook.names["x"] = newer
    with pytest.raises(
        FarError, match="module `json` has no `Newer`\nhint: use the same version of `json` on both sides"
    ) as caught:
        notebook.send("x")
    assert caught.value.reason == "attribute"


def test_a_name_missing_in_the_notebook_there_is_named(notebook: Notebook) -> None:
    notebook.cell("class Unseen: pass")
    with pytest.raises(FarError, match="module `__main__` has no `Unseen`\nhint: define `Unseen` at the top level of a cell"):
        empty = bytes(notebook.pack().bundle.pickle)[:-SEAL_BYTES]
        end = b"\x80\x05N."  # of the pairs, and of what both ends hold
        stream = empty.removesuffix(end + end) + pickle.dumps("x") + b"c__main__\nUnseen\n." + end + end
        notebook.far.put(Bundle(stream + seal(stream)))


def test_code_of_another_python_is_refused_before_it_runs(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook.cell("def f(): return 1")
    monkeypatch.setattr(reducers, "PYTHON", (3, 9))
    with pytest.raises(FarError, match="`f` cannot be rebuilt .* a function was compiled by Python 3.9 and this is") as caught:
        notebook.send("f")
    assert caught.value.reason == "version"


def test_what_raises_on_arrival_is_named_with_its_place(notebook: Notebook) -> None:
    notebook.cell("class A:\n def __getstate__(s): return {1: 1}\n def __setstate__(s, st): raise OSError('no')\nx = [A()]")
    with pytest.raises(FarError, match="`x` cannot be rebuilt where it arrived: OSError: no, in `A?.?__setstate__`") as caught:
        notebook.send("x")
    assert caught.value.reason == "raised"
