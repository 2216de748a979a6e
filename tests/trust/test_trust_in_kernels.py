"""A real kernel that takes data alone: what is data comes back, everything else stays, and nothing of it runs here."""

from __future__ import annotations

import pytest

from tests.notebook.conftest import code, home, kernel_in, notices, value  # noqa: F401  fixtures

KINDS = """
    import datetime, decimal, fractions, pathlib, uuid
    a = None; b = [1, 2.5, "text", b"bytes", True, 2**70, 1j]
    c = {"k": (1, [2]), (1, 2): {3}}; d = frozenset({1, "x"}); e = bytearray(b"z" * 3000)
    f = datetime.datetime(2024, 1, 2, 3, tzinfo=datetime.timezone.utc); g = decimal.Decimal("1.50")
    h = fractions.Fraction(1, 3); i = uuid.UUID(int=7); j = pathlib.Path("a/b"); k = range(3); m = slice(1, None)
    n = datetime.timedelta(1, 2); o = datetime.date(2024, 1, 2)
"""


@pytest.fixture(scope="module")
def careful(home):  # noqa: F811
    with kernel_in(home, WARMCELL_TRUST="data") as kernel:
        yield kernel


def there(kernel, text: str):
    shown = kernel.run(f"%%gpu\n{code(text)}")
    assert shown.status == "ok", shown.traceback
    return shown


def kind(kernel, name: str) -> str:
    return value(kernel, f"type({name}).__name__")


def test_data_of_every_kind_comes_back_as_what_it_was(careful):
    there(careful, KINDS)
    assert value(careful, "[a, b, c, d, bytes(e) == b'z' * 3000]") == [None, [1, 2.5, "text", b"bytes", True, 2**70, 1j], {"k": (1, [2]), (1, 2): {3}}, frozenset({1, "x"}), True]
    assert value(careful, "f.isoformat(), str(g), str(h), i.int, str(j), k, str(m), n.days, str(o)") == ("2024-01-02T03:00:00+00:00", "1.50", "1/3", 7, "a/b", range(3), "slice(1, None, None)", 1, "2024-01-02")


def test_arrays_come_back_small_and_large(careful):
    pytest.importorskip("numpy")
    careful.run("import numpy as np")
    there(careful, "w = np.arange(6.).reshape(2, 3); x = np.arange(200_000); y = np.float32(2); z = np.array(['a'], 'M8[s]') if 0 else np.array(['ab'])\nq = np.array([[], 1], dtype=object)")
    assert value(careful, "w.tolist(), int(x.sum()), float(y), z.tolist(), w.flags.writeable") == ([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], 19999900000, 2.0, ["ab"], True)
    assert kind(careful, "q") == "Handle" and kind(careful, "np") == "module"


def test_functions_classes_and_instances_stay_as_handles_and_work_there(careful):
    there(careful, "def double(v): return 2 * v\nclass Point: pass\npoint = Point(); point.x = 4; mixed = [1, double]")
    assert [kind(careful, n) for n in ("double", "Point", "point", "mixed")] == ["Handle"] * 4
    there(careful, "doubled = double(point.x) + mixed[1](1)")
    assert value(careful, "doubled") == 10


def test_a_handle_is_fetched_when_it_is_trusted_and_not_otherwise(careful):
    there(careful, "def triple(v): return 3 * v")
    refused = careful.run("triple.get()")
    assert refused.error["ename"] == "TrustError" and "`triple` is no data" in refused.traceback and "hint:" in refused.traceback
    assert value(careful, "triple.get(trust=True)(2)") == 6
    assert careful.run("%gpu get triple").error["ename"] == "TrustError"
    assert careful.run("%gpu get triple --trust").status == "ok"
    assert value(careful, "triple(3)") == 9


def test_what_changed_inside_is_here_when_it_is_data_and_told_when_it_is_not(careful):
    careful.run("losses = [1]; same = losses; rows = {'a': losses}\nclass Box: pass\nbox = Box(); box.v = 1")
    shown = there(careful, "losses.append(2); rows['b'] = 3; box.v = 2")
    assert value(careful, "losses, same is losses, rows['a'] is losses, rows, box.v") == ([1, 2], True, True, {"a": [1, 2], "b": 3}, 1)
    assert ["`box` changed in the session and not here, because it is no data" in text for text in notices(shown)] == [True]
    there(careful, "losses.append(3)")
    assert value(careful, "same") == [1, 2, 3]


def test_pythons_own_exceptions_are_raised_and_others_are_told(careful):
    careful.run("%%gpu\ntry_me = 1\nraise KeyError('gone', 3)")
    caught = careful.run("try:\n    %gpu {}['gone']\nexcept KeyError as error:\n    print(type(error).__name__, error.args)")
    assert caught.text() == "KeyError ('gone',)\n" and value(careful, "try_me") == 1
    shown = careful.run("%%gpu\nclass Odd(Exception): pass\nraise Odd('so')")
    assert shown.error["ename"] == "Odd" and "so" in shown.traceback and "raise Odd('so')" in shown.traceback


def test_an_expression_gives_data_or_a_handle(careful):
    careful.run("total = %gpu sum([1, 2])\nmaker = %gpu (lambda: 1)")
    assert value(careful, "total") == 3 and kind(careful, "maker") == "Handle"


def test_a_pickle_that_is_sent_all_the_same_runs_nothing_and_the_session_lives_on(careful, tmp_path):
    """A worker that does not keep to it: its own rule is switched off from within a cell."""
    trap = tmp_path / "ran_here"
    careful.run(f"trap = {str(trap)!r}")
    hostile = """
        import os, remote_runtime.wire.data as rule
        honest, rule.why_not = rule.why_not, lambda *_: ""
        class Trap:
            def __reduce__(self): return os.mkdir, (trap,)
        evil, good = Trap(), 5
    """
    shown = there(careful, hostile)
    assert [text for text in notices(shown) if "`evil` was refused" in text and "mkdir" in text], notices(shown)
    assert value(careful, "good") == 5 and not trap.exists()
    got = careful.run("%gpu get evil")
    assert got.error["ename"] == "TrustError", got.traceback
    assert not trap.exists()
    there(careful, "rule.why_not = honest\nlater = 1")
    assert value(careful, "later") == 1


def test_a_line_chooses_for_the_notebook(home):  # noqa: F811
    with kernel_in(home) as kernel:
        there(kernel, "def one(): return 1")
        assert kind(kernel, "one") == "function"
        kernel.run("%gpu use --trust data")
        there(kernel, "def two(): return 2")
        assert kind(kernel, "two") == "Handle"
        assert "neither `all` nor `data`" in kernel.run("%gpu use --trust some").traceback
        kernel.run("%gpu use --trust all")
        there(kernel, "def three(): return 3")
        assert kind(kernel, "three") == "function"
