"""What a remote cell does to the notebook's names."""

from __future__ import annotations

import pytest

from tests.kernels import LiveKernel
from tests.notebook.conftest import code, notices, receipt, value


def test_reads_go_there_and_binds_come_back(kernel: LiveKernel) -> None:
    kernel.run("a = 20")
    kernel.run("%%gpu\nb = a + 1; import math; c = [b, math.pi]")
    assert value(kernel, "b, c[0], c[1] == math.pi") == (21, 21, True)


def test_the_result_is_in_underscore_and_out(kernel: LiveKernel) -> None:
    kernel.run("%%gpu\n[1, 2]")

    kernel.run("%%gpu\n{'k': 1}")
    kernel.run("before = _, __, Out[max(Out)] is _")
    assert value(kernel, "before") == ({"k": 1}, [1, 2], True)


def test_deletes_mirror(kernel: LiveKernel) -> None:
    kernel.run("gone = 1; kept = 2")
    kernel.run("%%gpu\ndel gone")
    assert value(kernel, "'gone' in globals(), 'kept' in globals()") == (False, True)


def test_what_was_bound_before_an_error_comes_back(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\nfirst = 1\nraise ValueError('stop')\nsecond = 2")
    assert shown.error["ename"] == "ValueError"
    assert value(kernel, "first, 'second' in globals()") == (1, False)


def test_the_error_can_be_caught_by_its_class(kernel: LiveKernel) -> None:
    kernel.run(code("""
        class Mine(Exception):
            def __init__(self, code): super().__init__(code); self.code = code
        def fail(): raise Mine(7)
        try:
            y = %gpu fail()
        except Mine as error:
            caught = error.code
        """))  # fmt: skip
    assert value(kernel, "caught") == 7


@pytest.mark.parametrize(
    ("flags", "body", "check", "expected"),
    [
        ("-o here=there", "there = 5", "here, 'there' in globals()", (5, False)),
        ("-i there=here_in", "seen = there", "seen", 4),
        ("--only -i other", "seen2 = 'here_in' in globals()", "seen2", False),
        ("--keep held", "held = 6; back = 7", "type(held).__name__, back", ("Handle", 7)),
        ("--no-out", "nothing = 8", "'nothing' in globals()", False),
        ("-o big", "big = bytes(9_000_000)", "len(big)", 9_000_000),
    ],
)  # fmt: skip
def test_flags_that_steer_names(kernel: LiveKernel, flags: str, body: str, check: str, expected: object) -> None:
    kernel.run("here_in = 4; other = 1")
    shown = kernel.run(f"%%gpu {flags}\n{body}")
    assert shown.status == "ok", shown.traceback
    assert value(kernel, check) == expected


def test_a_large_result_stays_there_as_a_handle_and_costs_nothing_later(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\nlarge = bytearray(9_000_000)\nlarge[0] = 7")
    assert list(receipt(shown)["kept"]) == ["large"]
    shown = kernel.run("%%gpu\nsize = len(large); same = large[0]")
    assert (receipt(shown)["reused"], receipt(shown)["sent"]) == (["large"], [])
    assert receipt(shown)["sent_bytes"] < 1000
    assert value(kernel, "size, same, len(large.get()), type(large).__name__") == (9_000_000, 7, 9_000_000, "Handle")


def test_a_handle_used_here_says_how_to_get_it(kernel: LiveKernel) -> None:
    kernel.run("%%gpu --keep model\nmodel = [1]")
    shown = kernel.run("len(model)")
    assert shown.error["ename"] == "HandleError"
    assert "`model.get()` copies it here" in shown.error["evalue"]


def test_functions_are_bound_to_the_live_namespace_of_each_side(kernel: LiveKernel) -> None:
    kernel.run("cfg = {'lr': 1}\ndef f(): return cfg")
    kernel.run("%%gpu\nseen = f()['lr']")
    kernel.run("cfg = {'lr': 2}")
    kernel.run("%%gpu\nseen2 = f()['lr']\ndef there(): return where")
    kernel.run("where = 'here'")
    assert value(kernel, "seen, seen2, there()") == (1, 2, "here")


def test_an_object_made_there_stays_the_same_object(kernel: LiveKernel) -> None:
    kernel.run(code("""
        %%gpu --keep m
        class Model:
            fits = 0
            def fit(self): self.fits += 1; return self.fits
        m = Model(); first_id = id(m)
        """))  # fmt: skip
    shown = kernel.run("%%gpu\nfits = (m.fit(), m.fit()); same = id(m) == first_id")
    assert value(kernel, "fits, same") == ((1, 2), True)
    assert receipt(shown)["sent"] == [] and "first_id" in receipt(shown)["reused"]


def test_a_module_that_is_not_here_becomes_a_stand_in(kernel: LiveKernel) -> None:
    kernel.run("%%gpu\nimport sys, types\nsys.modules['only_there'] = m = types.ModuleType('only_there'); m.x = 3")
    shown = kernel.run("%%gpu\nimport only_there\nvalue_of_x = only_there.x")
    assert shown.status == "ok"
    shown = kernel.run("only_there.x")
    assert shown.error["ename"] == "ImportError" and "%%gpu cell" in shown.error["evalue"]
    kernel.run("%%gpu\nagain = only_there.x + 1")
    assert value(kernel, "value_of_x, again") == (3, 4)


def test_a_value_that_cannot_be_rebuilt_here_does_not_take_the_others_along(kernel: LiveKernel) -> None:
    kernel.run(code("""
        %%gpu
        import sys, types
        fake = types.ModuleType('fake_there'); sys.modules['fake_there'] = fake
        exec('class Thing: pass', fake.__dict__)
        """))  # fmt: skip
    shown = kernel.run("%%gpu\nfrom fake_there import Thing\nthing = Thing(); fine = 5")
    assert value(kernel, "fine, 'thing' in globals()") == (5, False)
    assert any("thing" in notice and "%gpu get thing" in notice for notice in notices(shown))


def test_an_exception_whose_class_is_not_here_keeps_its_name(kernel: LiveKernel) -> None:
    kernel.run(code("""
        %%gpu
        import sys, types
        sys.modules['trouble_there'] = module = types.ModuleType('trouble_there')
        exec('class Trouble(Exception): pass', module.__dict__)
        """))  # fmt: skip
    shown = kernel.run("%%gpu\npartial = 1\nimport trouble_there\nraise trouble_there.Trouble('far away')")
    assert (shown.error["ename"], shown.error["evalue"]) == ("Trouble", "far away")
    assert "line 4" in shown.traceback
    assert value(kernel, "partial") == 1


def test_a_handle_that_is_gone_here_frees_the_value_there(kernel: LiveKernel) -> None:
    kernel.run("%%gpu --keep big,ref\nimport weakref\nclass Big: pass\nbig = Big(); ref = weakref.WeakSet([big])")
    kernel.run("%%gpu\nbig = None")
    assert value(kernel, "big") is None
    assert kernel.run("%%gpu\nlen(ref)").result == "0"


def test_reloading_the_extension_keeps_handles_of_a_session_that_lives_on(kernel: LiveKernel) -> None:
    kernel.run("%%gpu --keep lasting\nlasting = [4]")
    kernel.run("%reload_ext warmcell")
    assert kernel.run("lasting.get()").error["ename"] == "SessionLost"
    assert kernel.run("%%gpu\nlasting[0]").result == "4"


def test_a_value_stays_what_it_was_when_the_cell_may_bind_it_and_does_not(kernel: LiveKernel) -> None:
    kernel.run("%%gpu\nmaybe = 'old there'")
    kernel.run("maybe = 'new here'")
    kernel.run("%%gpu\nif False: maybe = 'never'")
    assert value(kernel, "maybe") == "new here"


def test_a_name_bound_to_what_it_was_there_all_along_is_bound_here_too(kernel: LiveKernel) -> None:
    kernel.run("%%gpu\nsame = 5")
    kernel.run("same = 'changed here'")
    kernel.run("%%gpu\nsame = 5")
    assert value(kernel, "same") == 5


def test_the_expression_form_returns_and_never_expands(kernel: LiveKernel) -> None:
    kernel.run("def double(x): return x * 2\nn = 5")
    shown = kernel.run("y = %gpu double({n}.pop()) + len('{n}')")
    assert shown.status == "ok", shown.traceback
    assert value(kernel, "y") == 13
    assert kernel.run("%gpu double(n);").result == ""
    assert kernel.run("%gpu double(n)").result == "10"
