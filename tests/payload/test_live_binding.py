"""Functions and classes of the notebook live in the namespace where they arrive, with all that their code uses."""

from __future__ import annotations

import pytest

from remote_runtime.wire.payload import pack, unpack
from tests.payload.far import Notebook


def test_what_code_uses_travels_along(notebook: Notebook) -> None:
    notebook.cell("import json\ncfg = {'lr': 1}\ndef h(): return json.dumps(cfg)\ndef g(): return h()\ndef f(): return g()")
    packed = notebook.send("f")
    assert set(packed.names) == {"f", "g", "h", "cfg", "json"}
    assert notebook.far.ask("f()") == '{"lr": 1}'


def test_the_far_namespace_is_the_functions_globals(notebook: Notebook) -> None:
    notebook.cell("def f(): return 1\nclass A:\n def m(self): return f()")
    notebook.send("f", "A")
    assert notebook.far.ask("(f.__globals__ is globals(), A.m.__globals__ is globals())") == (True, True)


def test_rebinding_there_is_seen(notebook: Notebook) -> None:
    notebook.cell("def helper(): return 1\ndef f(): return helper()\nclass A:\n def m(self): return helper()\na = A()")
    notebook.send("f", "a")
    notebook.far.run("def helper(): return 2")
    assert notebook.far.ask("(f(), a.m())") == (2, 2)


def test_a_global_statement_writes_there(notebook: Notebook) -> None:
    notebook.cell("n = 0\ndef up():\n global n\n n += 1\ndef read(): return n")
    notebook.send("up", "read")
    notebook.far.run("up()\nup()")
    assert notebook.far.ask("(n, read())") == (2, 2)


def test_a_redefined_helper_is_seen_after_its_own_send(notebook: Notebook) -> None:
    notebook.cell("def helper(): return 1\ndef f(): return helper()")
    notebook.send("f")
    notebook.cell("def helper(): return 5")
    notebook.send("helper")
    assert notebook.far.ask("f()") == 5


def test_results_bind_to_the_notebook(notebook: Notebook) -> None:
    notebook.far.run("def f(): return k\nclass A:\n def m(self): return k")
    notebook.cell("k = 'here'")
    notebook.fetch("f", "A")
    assert (notebook.names["f"](), notebook.names["A"]().m()) == ("here", "here")
    assert notebook.names["f"].__globals__ is notebook.names


def test_aliases_stay_aliases(notebook: Notebook) -> None:
    notebook.cell("a = []; b = a; c = {'a': a}\ndef f(): return a\ndef g(x=a): return x\nclass K: held = a")
    notebook.send("a", "b", "c", "f", "g", "K")
    assert notebook.far.ask("[v is a for v in (b, c['a'], f(), g(), K.held)]") == [True] * 5


def test_a_class_is_the_same_class_each_time(notebook: Notebook) -> None:
    notebook.cell("class A: v = 1\na = A()")
    notebook.send("A", "a")
    notebook.far.run("first, kept = A, a")
    notebook.cell("A.v = 2\nb = A()")
    notebook.send("A", "b")
    assert notebook.far.ask("(first is A, type(b) is A, isinstance(kept, A), kept.v)") == (True, True, True, 2)


def test_a_class_comes_back_as_itself(notebook: Notebook) -> None:
    notebook.cell("class A:\n def m(self): return type(self)\na = A()")
    original = notebook.names["A"]
    notebook.send("a")
    notebook.fetch("a")
    assert type(notebook.names["a"]) is original is notebook.names["a"].m()


def test_a_redefined_class_is_another_class(notebook: Notebook) -> None:
    notebook.cell("class A: pass\nold = A()")
    notebook.send("old")
    notebook.cell("class A: pass\nnew = A()")
    notebook.send("new")
    assert notebook.far.ask("type(old) is type(new)") is False


def test_annotations_as_text_count(notebook: Notebook) -> None:
    notebook.cell(
        "import typing\nclass Conf: pass\nclass Item: pass\ndef f(c: 'Conf'): pass\n"
        "class A:\n i: 'typing.List[Item]'\n j: 'not python!'"
    )
    packed = notebook.send("f", "A")
    assert {"Conf", "Item", "typing"} <= set(packed.names)
    assert notebook.far.ask("typing.get_type_hints(f)['c'] is Conf")


def test_names_in_nested_code_count(notebook: Notebook) -> None:
    notebook.cell(
        "a = b = c = d = 1\ndef f():\n class K:\n  def m(self): return a\n return [(lambda: b)() for _ in (c,)], K().m(), d"
    )
    assert set(notebook.send("f").names) == {"f", "a", "b", "c", "d"}
    assert notebook.far.ask("f()") == ([1], 1, 1)


def test_attributes_are_not_names(notebook: Notebook) -> None:
    notebook.cell("shape = 'big'\ndef f(v): return v.shape")
    assert notebook.pack("f").names == ("f",)


def test_expand_is_told_who_mentions_and_asked_once(notebook: Notebook) -> None:
    asked: list[dict[str, str]] = []
    notebook.cell("def f(): return g, missing\ndef g(): return f, missing, len")
    pack(
        {"f": notebook.names["f"]},
        namespace=notebook.names,
        expand=lambda mentions: asked.append(dict(mentions)) or {n: notebook.names[n] for n in mentions if n == "g"},
    )
    assert asked == [{"g": "f", "missing": "f"}, {"len": "g"}]


def test_an_absent_helper_is_a_name_error_at_its_line(notebook: Notebook) -> None:
    notebook.cell("def f(): return undefined_helper()")
    notebook.send("f")
    with pytest.raises(Exception, match="NameError: name 'undefined_helper' is not defined"):
        notebook.far.ask("f()")


def test_functions_of_another_globals_keep_them(notebook: Notebook) -> None:
    notebook.cell("own = {'k': 4}\nexec('def f(): return k', own)\nf = own['f']\nk = 'the notebook s'")
    notebook.send("f")
    notebook.far.run("k = 'the far one s'")
    assert notebook.far.ask("(f(), f.__globals__ is globals())") == (4, False)


ON_ARRIVAL = {
    "setstate": "import threading\nclass A:\n def __getstate__(s): return {}\n def __setstate__(s, st): s.lock = threading.Lock()\nx = A()",
    "setstate, nested": "import threading\nclass A:\n def __getstate__(s): return {1: 1}\n def __setstate__(s, st): s.lock = threading.Lock()\nx = [{'a': A()}]",
    "hash": "salt = 3\ndef mix(v): return hash((v, salt))\nclass K:\n def __init__(s): s.v = 1\n def __hash__(s): return mix(s.v)\nx = {'a': {K(): 1}}",
    "reduce": "def scale(v): return v * factor\nfactor = 2\ndef make(v): return scale(v)\nclass R:\n def __reduce__(s): return make, (4,)\nx = [R()]",
    "class and data captured together": "cfg = {1: 2}\nclass A:\n def __getstate__(s): return {1: 1}\n def __setstate__(s, st): s.v = cfg[1]\nx = A()",
    "metaclass": "seen = []\nclass M(type):\n def __new__(m, *a, **k):\n  seen.append(a[0]); return super().__new__(m, *a, **k)\nclass A(metaclass=M): pass\nx = A()",
}


@pytest.mark.parametrize("setup", ON_ARRIVAL.values(), ids=ON_ARRIVAL)
def test_code_that_runs_on_arrival_finds_its_globals(notebook: Notebook, setup: str) -> None:
    notebook.cell(setup)
    names = ["x", *(name for name in ("cfg",) if name in notebook.names)]
    notebook.send(*names)
    assert notebook.far.ask("x is not None")


def test_unpack_leaves_the_namespace_alone_when_it_fails(notebook: Notebook) -> None:
    notebook.cell("class A:\n def __getstate__(s): return {1: 1}\n def __setstate__(s, st): raise OSError('no')\nk = 5\nx = A()")
    bundle = notebook.pack("k", "x").bundle
    mine = {"k": "mine"}
    with pytest.raises(Exception, match="`x` cannot be rebuilt where it arrived: OSError: no, in `.*__setstate__`"):
        unpack(bundle, namespace=mine)
    assert mine == {"k": "mine"}


def test_a_token_stands_for_what_is_there(notebook: Notebook) -> None:
    notebook.far.run("model = [1, 2]")
    marker = object()
    packed = pack(
        {"m": marker, "nested": {"m": [marker]}},
        namespace=notebook.names,
        reference=lambda obj: "model" if obj is marker else None,
    )
    notebook.far.put(packed.bundle)
    assert notebook.far.ask("(m is model, nested['m'][0] is model)") == (True, True)


def test_sizes_count_what_is_shared_once(notebook: Notebook) -> None:
    notebook.cell("a = b'x' * 50_000\nb = [a]\nc = 1")
    sizes = notebook.pack("a", "b", "c").sizes
    assert sizes["a"] > 50_000 and sizes["b"] < 100 and sizes["c"] < 100


def test_an_instance_is_asked_for_its_state_once(notebook: Notebook) -> None:
    notebook.cell(
        "import json\nasked = []\nclass A:\n def __getstate__(s): asked.append(json); return {1: 1}\n def __setstate__(s, st): pass\nx = A()"
    )
    notebook.pack("x")
    assert len(notebook.names["asked"]) == 1
