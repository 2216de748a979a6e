"""What a cell asks for is gathered with what its code uses, or refused with the reason before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from kernel_proxy.errors import CaptureError, SecretGate, SizeGate
from kernel_proxy.gather import Capture, Gates, Row, Wanted, gather, survey
from kernel_proxy.handles import Handle, ValueInfo
from remote_runtime.wire.payload import unpack

SMALL = Gates(size_gate_bytes=10_000)


def cell(source: str, **names: Any) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "__main__", **names}
    exec(compile(source, "<cell>", "exec", dont_inherit=True), namespace)
    return namespace


def take(namespace: dict[str, Any], *reads: str, gates: Gates = SMALL, **wanted: Any) -> Capture:
    return gather(Wanted(frozenset(reads), **wanted), namespace, session_id="s1", gates=gates)


def look(namespace: dict[str, Any], *reads: str, **wanted: Any) -> dict[str, Row]:
    rows = survey(Wanted(frozenset(reads), **wanted), namespace, session_id="s1", gates=SMALL)
    return {row.name: row for row in rows}


def handle(name: str = "model", session_id: str = "s1") -> Handle:
    info = ValueInfo("Llama", 13 * 10**8, None, None, "cuda:0", "Llama()")
    return Handle(f"token-{name}", name, info, lambda token, timeout_s: None, session_id, "A100")


def test_reads_travel_with_what_they_use() -> None:
    capture = take(cell("import json\nk = 2\ndef g(): return json, k\ndef f(): return g()\nunused = 1"), "f")
    assert {row.name: row.why for row in capture.rows} == {
        "f": "read",
        "g": "used by f",
        "json": "used by g",
        "k": "used by g",
    }
    assert set(capture.packed.names) == {"f", "g", "json", "k"}


def test_an_instance_brings_what_its_class_uses() -> None:
    capture = take(cell("k = 2\nclass A:\n def m(self): return k\na = A()"), "a")
    assert [(row.name, row.why, row.type_name) for row in capture.rows] == [("a", "read", "A"), ("k", "used by a", "int")]


def test_rows_tell_type_and_size() -> None:
    rows = {row.name: row for row in take({"text": "t" * 5000, "n": 1}, "text", "n").rows}
    assert rows["text"].type_name == "str" and 5000 < rows["text"].size_bytes < 5100
    assert rows["n"].size_bytes < 50


def test_absent_names_are_no_error() -> None:
    capture = take({"x": 1}, "x", "alive_there", weak_reads=frozenset({"maybe"}))
    assert {row.name: row.action for row in capture.rows} == {"x": "send", "alive_there": "absent", "maybe": "absent"}
    assert capture.packed.names == ("x",)


def test_an_input_is_renamed() -> None:
    capture = take({"mine": [1]}, inputs=(("theirs", "mine"),))
    assert unpack(capture.packed.bundle, {}) == {"theirs": [1]}


def test_a_renamed_input_is_what_code_there_finds() -> None:
    namespace = cell("k = 1\nother = 2\ndef f(): return k")
    capture = take(namespace, "f", inputs=(("k", "other"),))
    there: dict[str, Any] = {}
    there.update(unpack(capture.packed.bundle, there))
    assert there["f"]() == 2


def test_only_takes_the_inputs_and_what_they_use() -> None:
    namespace = cell("k = 1\ndef f(): return k\ny = 3")
    assert set(take(namespace, "y", inputs=(("f", "f"),), only=True).packed.names) == {"f", "k"}


def test_an_undefined_input_is_an_error() -> None:
    with pytest.raises(CaptureError, match="`-i` names `tpyo`, which is not defined in the notebook\nhint: "):
        take({}, inputs=(("x", "tpyo"),))


def test_aliases_cross_in_one_bundle() -> None:
    shared: list[Any] = []
    values = unpack(take({"a": shared, "b": [shared]}, "a", "b").packed.bundle, {})
    assert values["b"][0] is values["a"]


def test_a_value_that_cannot_travel_is_named_with_path_and_fix() -> None:
    namespace = cell("import threading\nclass Loader: pass\nloader = Loader(); loader._worker_lock = threading.Lock()")
    with pytest.raises(CaptureError) as caught:
        take(namespace, "loader")
    assert str(caught.value) == (
        "`loader` cannot travel: `loader._worker_lock` is a thread lock "
        "(TypeError: cannot pickle '_thread.lock' object)\n"
        "hint: create it inside the cell, or leave it out in the class's `__getstate__`"
    )


def test_a_used_value_that_cannot_travel_names_its_user() -> None:
    with pytest.raises(CaptureError, match=r"`rows` cannot travel: it is a generator \(.*\); `f` uses it"):
        take(cell("rows = (i for i in ())\ndef f(): return list(rows)"), "f")


def test_a_weak_read_that_cannot_travel_stays() -> None:
    capture = take(cell("rows = (i for i in ())\nk = 1"), "k", weak_reads=frozenset({"rows"}))
    assert capture.packed.names == ("k",)
    assert [(row.name, row.action, row.problem is None) for row in capture.rows] == [("rows", "skip", False), ("k", "send", True)]


SHELLS_OWN = "In Out _ih _oh _dh _ __ ___ _i _ii _iii _5 _i12 exit quit get_ipython open __name__ __builtins__".split()


@pytest.fixture
def shell_names() -> dict[str, Any]:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    yield {**shell.user_ns, "_5": 1, "_i": "", "_ii": "", "_iii": "", "_i12": ""}
    shell.history_manager.end_session()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("name", SHELLS_OWN)
def test_what_is_ipythons_own_stays(shell_names: dict[str, Any], name: str) -> None:
    capture = take(shell_names, name)
    assert (capture.packed.names, capture.rows[0].action) == ((), "skip")


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_function_that_opens_files_does_not_bring_ipythons_open(shell_names: dict[str, Any]) -> None:
    exec("def f(): return open, get_ipython, exit, _", shell_names)
    assert take(shell_names, "f").packed.names == ("f",)


@pytest.mark.parametrize("name", ["In", "Out", "exit", "quit", "open", "_ia", "_x5"])
def test_the_users_own_value_under_such_a_name_travels(name: str) -> None:
    assert take({"_ih": [], "_oh": {}, name: 5}, name).packed.names == (name,)


def test_a_handle_travels_as_its_token() -> None:
    model = handle()
    capture = take({"model": model, "m2": model, "cfg": {"m": [model]}}, "model", "m2", "cfg")
    values = unpack(capture.packed.bundle, {}, resolve=lambda token: f"<{token}>")
    assert values == {"model": "<token-model>", "m2": "<token-model>", "cfg": {"m": ["<token-model>"]}}
    assert (capture.reused, capture.aliases) == (("m2", "model"), ("m2",))
    assert capture.packed.bundle.size_bytes < 400


def test_a_handle_row_says_reuse() -> None:
    row = look({"model": handle()}, "model")["model"]
    assert (row.action, row.type_name, row.size_bytes) == ("reuse", "Llama", 13 * 10**8)


@pytest.mark.parametrize("value, path", [(handle(session_id="s2"), "it"), ([handle(session_id="s2")], r"`x\[0\]`")])
def test_a_handle_of_another_session_is_refused(value: Any, path: str) -> None:
    with pytest.raises(CaptureError, match=f"`x` cannot travel: {path} is a handle of another session\nhint: .*get"):
        take({"x": value}, "x")


def test_before_a_session_is_open_every_handle_is_foreign() -> None:
    with pytest.raises(CaptureError, match="another session"):
        gather(Wanted(frozenset({"m"})), {"m": handle("m")}, session_id=None, gates=SMALL)


def test_a_secret_stops_the_cell_until_named() -> None:
    namespace = {"api_key": "abc"}
    with pytest.raises(SecretGate, match="`api_key` is a string named like a secret.*\nhint: pass `-i api_key` to send it"):
        take(namespace, "api_key")
    assert take(namespace, "api_key", inputs=(("api_key", "api_key"),)).packed.names == ("api_key",)
    assert take(namespace, "api_key", gates=Gates(secrets=False)).packed.names == ("api_key",)


def test_a_secret_used_by_code_stops_the_cell_too() -> None:
    with pytest.raises(SecretGate):
        take(cell("hf_token = 'abc'\ndef f(): return hf_token"), "f")


def test_a_named_input_may_be_called_a_secret_there() -> None:
    assert take({"value": "abc"}, inputs=(("token", "value"),)).packed.names == ("token",)


@pytest.mark.parametrize("value", [b"x" * 20_000, ["x" * 20_000], {"a": {"b": "x" * 20_000}}], ids=["bytes", "list", "nested"])
def test_a_large_value_stops_the_cell_until_named(value: Any) -> None:
    with pytest.raises(SizeGate, match="`x` is 20.0 kB, and more than 10.0 kB is not sent by itself\nhint: pass `-i x`"):
        take({"x": value}, "x")
    assert take({"x": value}, inputs=(("x", "x"),)).packed.names == ("x",)


def test_a_large_value_is_refused_without_being_pickled() -> None:
    np = pytest.importorskip("numpy")
    vast = np.broadcast_to(np.zeros(1), (10**13,))
    with pytest.raises(SizeGate, match="80.0 TB"):
        take({"x": [vast]}, "x")


def test_a_value_whose_size_shows_only_when_packed_is_refused_too() -> None:
    namespace = cell("class A: pass\nx = A(); x.text = 't' * 20_000")
    with pytest.raises(SizeGate, match=r"`x` is 20\.\d kB"):
        take(namespace, "x")
    assert look(namespace, "x")["x"].problem.startswith("`x` is 20.")


def test_a_large_value_used_by_code_stops_the_cell() -> None:
    with pytest.raises(SizeGate):
        take(cell("table = b't' * 20_000\ndef f(): return table"), "f")


def test_survey_shows_every_problem_and_raises_none() -> None:
    namespace = cell(
        "import threading\nlock = threading.Lock()\napi_key = 'k'\nbig = b'b' * 20_000\nok = 1\n"
        "rows = (i for i in ())\ndef f(): return rows, ok"
    )
    rows = look(namespace, "lock", "api_key", "big", "f", "gone", inputs=(("x", "nope"),))
    assert {n for n, row in rows.items() if row.problem} == {"lock", "api_key", "big", "rows", "x"}
    assert all(row.fix for row in rows.values() if row.problem)
    assert {n: r.action for n, r in rows.items()} == {
        "lock": "skip", "api_key": "skip", "big": "skip", "rows": "skip", "x": "skip",
        "f": "send", "ok": "send", "gone": "absent",
    }  # fmt: skip


def test_an_iterator_and_a_memory_map_are_noticed(tmp_path) -> None:
    np = pytest.importorskip("numpy")
    namespace = {"it": iter([1, 2]), "m": np.memmap(tmp_path / "m", "u1", "w+", shape=(3000,)), "l": [1]}
    notices = take(namespace, "it", "m", "l").notices
    assert [n.split(":")[0] for n in notices] == ["`it` is an iterator", "`m` is memory-mapped"]


def test_gathering_does_not_touch_what_is_gathered() -> None:
    namespace = cell(
        "class A:\n def __eq__(s, o): raise SystemExit\n __hash__ = __bool__ = __len__ = __eq__\na = A()\nit = iter([1, 2])"
    )
    before = dict(namespace)
    take(namespace, "a", "it")
    assert list(namespace) == list(before) and list(namespace["it"]) == [1, 2]
