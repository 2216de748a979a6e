"""Objects whose own methods raise, lie, recurse, print or change them: each is carried or refused by its variable's name.

Whatever they do, the session lives on and the next cell works.
"""

from __future__ import annotations

import pytest

from tests.kernels import LiveKernel, play

REFUSED, UNREADABLE, PRESSED = "CaptureError", "TransferError", "KeyboardInterrupt"

# How it misbehaves -> the class's body, the error of a cell that reads `held = [odd, 1]`, and a part of its text.
CASES: dict[str, tuple[str, str, str]] = {
    "eq raises": ("def __eq__(self, o): raise RuntimeError('eq')\n __hash__ = object.__hash__", "", ""),
    "eq gives an array": ("def __eq__(self, o): return __import__('numpy').zeros(3)\n __hash__ = object.__hash__", "", ""),
    "eq is always true": ("def __eq__(self, o): return True\n def __hash__(self): return 1", "", ""),
    "hash raises": ("def __hash__(self): raise RuntimeError('hash')", "", ""),
    "hash changes": ("n = 0\n def __hash__(self): type(self).n += 1; return type(self).n", "", ""),
    "bool raises": ("def __bool__(self): raise RuntimeError('bool')", "", ""),
    "len lies": ("def __len__(self): return 10**15", "", ""),
    "items raise": ("def __iter__(self): raise RuntimeError('iter')\n def __len__(self): return -3", "", ""),
    "reduce raises": ("def __reduce__(self): raise RuntimeError('reduce')", REFUSED, "`held[0]`"),
    "reduce exits": ("def __reduce__(self): raise SystemExit(3)", REFUSED, "SystemExit: 3"),
    "reduce closes": ("def __reduce__(self): raise GeneratorExit", REFUSED, "GeneratorExit"),
    "reduce gives nothing": ("def __reduce__(self): return None", REFUSED, "`held[0]`"),
    "reduce gives a name": ("def __reduce__(self): return 'nowhere'", REFUSED, "nowhere"),
    "reduce gives a stump": ("def __reduce__(self): return (int,)", REFUSED, "`held[0]`"),
    "reduce gives another type": ("def __reduce__(self): return int, (7,)", "", ""),
    "reduce recurses": ("def __reduce__(self): return Odd, (self,)", REFUSED, "nested too deeply"),
    "reduce is always new": ("def __init__(self, *a): pass\n def __reduce__(self): return Odd, (Odd(),)", REFUSED, "nested too deeply"),
    "reduce changes it": ("n = 0\n def __reduce__(self): self.n += 1; return Odd, (), {'n': self.n}", "", ""),
    "reduce_ex raises": ("def __reduce_ex__(self, p): raise RuntimeError('reduce_ex')", REFUSED, "reduce_ex"),
    "getstate raises": ("def __getstate__(self): raise RuntimeError('getstate')", REFUSED, "getstate"),
    "getstate lies": ("def __getstate__(self): return 5", UNREADABLE, "`held` cannot be rebuilt"),
    "getstate changes it": ("n = 0\n def __getstate__(self): self.n += 1; return self.__dict__", "", ""),
    "setstate raises": ("def __getstate__(self): return 1\n def __setstate__(self, s): raise RuntimeError('no')", UNREADABLE, "`held`"),
    "setstate exits": ("def __getstate__(self): return 1\n def __setstate__(self, s): raise SystemExit(4)", UNREADABLE, "SystemExit: 4"),
    "setstate presses": ("def __getstate__(self): return 1\n def __setstate__(self, s): raise KeyboardInterrupt", PRESSED, ""),
    "del raises": ("def __del__(self): raise RuntimeError('del')", "", ""),
    "getattr raises": ("def __getattr__(self, n): raise RuntimeError('getattr ' + n)", "", ""),
    "getattr recurses": ("def __getattr__(self, n): return getattr(self, n + 'x')", "", ""),
    "getattr has all": ("def __getattr__(self, n): return self", "", ""),
    "getattribute raises": ("def __getattribute__(self, n): raise RuntimeError(n)", REFUSED, "`held[0]`"),
    "setattr raises": ("def __setattr__(self, n, v): raise RuntimeError('setattr')", "", ""),
    "class raises": ("@property\n def __class__(self): raise RuntimeError('class')", REFUSED, "`held[0]`"),
    "class lies": ("@property\n def __class__(self): return int", REFUSED, "`held[0]`"),
    "dict raises": ("@property\n def __dict__(self): raise RuntimeError('dict')", "", ""),
    "dict lies": ("@property\n def __dict__(self): return 5", "", ""),
    "repr raises": ("def __repr__(self): raise RuntimeError('repr')", "", ""),
    "repr gives no text": ("def __repr__(self): return 5", "", ""),
    "repr recurses": ("def __repr__(self): return repr(self)", "", ""),
    "size lies": ("nbytes = 'many'; shape = 5; dtype = 3; device = None", "", ""),
    "size raises": ("@property\n def nbytes(self): raise RuntimeError('n')\n @property\n def shape(self): raise RuntimeError('s')", "", ""),
}  # fmt: skip
BASES = ["object", "list", "dict"]
SAME_FOR_ALL = [case for case in CASES if case not in ("getstate changes it", "len lies", "items raise")]


def begin(kernel: LiveKernel, case: str, base: str) -> None:
    body = CASES[case][0].replace("\n ", "\n    ")
    play(kernel, f"class Odd({base}):\n    {body}", f"held = [{base}.__new__(Odd), 1]")


@pytest.fixture(autouse=True)
def _forgotten(kernel: LiveKernel):
    yield
    kernel.run("_ = held = made = Odd = None\ndel held, made, Odd")
    assert kernel.run("%%gpu cpu\nprint(40 + 2)").text().endswith("42\n")


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("case", CASES)
def test_inside_a_value_that_the_cell_changes(kernel: LiveKernel, case: str, base: str) -> None:
    if base != "object" and case not in SAME_FOR_ALL:
        return
    _, error, text = CASES[case]
    begin(kernel, case, base)
    for expected in ((2, 3) if not error else (1, 1)):
        shown = kernel.run("%%gpu cpu\nheld[1] += 1")
        assert shown.error["ename"] == error, shown.traceback
        assert text in shown.error["evalue"]
        assert kernel.run("print(held[1])").text() == f"{expected}\n"


@pytest.mark.parametrize("case", CASES)
def test_as_a_result_and_as_a_name_made_there(kernel: LiveKernel, case: str) -> None:
    begin(kernel, case, "object")
    shown = kernel.run("%%gpu cpu\nmade = [object.__new__(Odd)]\nprint('made')\nmade[0];")
    assert shown.error["ename"] == (PRESSED if case == "setstate presses" else ""), shown.traceback
    assert shown.text() == "made\n"
    assert kernel.run("%%gpu cpu\nprint(len(made))").text() == "1\n"
    assert kernel.run("%gpu vars").status == "ok"


def test_one_that_prints_while_it_is_pickled_prints_in_the_cell(kernel: LiveKernel) -> None:
    play(kernel, "class Odd:\n    def __reduce__(self):\n        print('told')\n        return Odd, ()", "made = Odd()", "held = 1")
    assert set(play(kernel, "G made").text().split()) == {"told"}
