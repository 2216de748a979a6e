"""Whatever a hostile worker writes is refused with one error, runs nothing, and costs little."""

from __future__ import annotations

import pickle
import struct
import tracemalloc

import pytest

from remote_runtime.wire.arrival import Arrival
from remote_runtime.wire.bundle import Bundle, opening, seal
from remote_runtime.wire.data import LEVELS
from remote_runtime.wire.datareader import read_data
from remote_runtime.wire.mirror import Mirror
from remote_runtime.wire.opcodes import GROWTH
from remote_runtime.wire.payload import UnpackError, pack

NONE = b"N."
RAN: list[object] = []


def trap(*args: object) -> None:
    RAN.append(args)


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def named(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def bundle(value: bytes, *, name: bytes = text("x"), contents: bytes = b"", tail: bytes = NONE, numbers=(), buffers=()) -> Bundle:
    """A sealed bundle with one value, written by hand; the memo begins with the namespace and the numbers."""
    stream = opening([0, *numbers]) + contents + NONE + name + b"." + value + b"." + NONE + tail
    return Bundle(stream + seal(stream), tuple(memoryview(bytearray(b)) for b in buffers))


def chain(step: bytes, count: int, start: bytes = b")") -> bytes:
    return start + step * count


def doubled(count: int) -> bytes:
    """A tuple of twice the one before, and so on: a few bytes, and 2**count to hash."""
    return b")" + b"".join(b"\x94h" + bytes([1 + n]) + b"\x86" for n in range(count))


def ints(*values: int) -> bytes:
    return b"".join(b"\x8a" + bytes([len(raw := v.to_bytes(v.bit_length() // 8 + 1, "little", signed=True))]) + raw for v in values)


SAME = ints(*(n * (2**61 - 1) for n in range(1, 200)))
DTYPE = named("numpy", "dtype") + text("f8") + b"\x89\x88\x87R"
FRACTION = named("fractions", "Fraction")
ARRAY = named("numpy._core.numeric", "_frombuffer")
EMPTY_STATE = b"(K\x03\x8c\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"

ROWS = {
    "a command, by REDUCE": named("os", "system") + text("true") + b"\x85R",
    "a function of ours": named(__name__, "trap") + b")R",
    "a class of ours": named("remote_runtime.wire.datakinds", "Named") + b")R",
    "our own functions": named("remote_runtime.wire.reducers", "make_code") + b"))\x86R",
    "eval": named("builtins", "eval") + text("1") + b"\x85R",
    "getattr": named("builtins", "getattr") + b"NN\x86R",
    "a name of names": named("datetime", "datetime.__class__") + b")R",
    "a name that is data": b"N" + text("x") + b"\x93",
    "a global, by GLOBAL": b"cos\nsystem\n",
    "an instance, by INST": b"(ios\nsystem\n",
    "an instance, by OBJ": b"(" + named("datetime", "date") + b"o",
    "NEWOBJ of a class": named("builtins", "object") + b")\x81",
    "NEWOBJ_EX": named("uuid", "UUID") + b")}\x92",
    "an extension": b"\x82\x01",
    "a persistent id that is text": text("x") + b"Q",
    "a persistent id in ASCII": b"P1\n",
    "a state for a name": named("builtins", "range") + b"}" + text("a") + b"K\x01sb",
    "a state for a list": b"]}b",
    "a name itself": named("builtins", "range"),
    "a name inside a list": b"]" + named("builtins", "range") + b"a",
    "a value told by half": named("uuid", "UUID") + b")R",
    "the namespace": b"h\x00",
    "a change to the namespace": b"h\x00" + text("open") + b"K\x01s",
    "a place in the memo, told": b"]r\xff\xff\xff\x7f",
    "a place in the memo, not there": b"j\xff\xff\xff\x7f",
    "DUP": b"]2",
    "a size of bytes": b"B\xff\xff\xff\x7f",
    "a size of bytes of eight": b"\x8e" + b"\xff" * 8,
    "a size of a bytearray": b"\x96" + struct.pack("<Q", 1 << 40),
    "a size of text": b"X\xff\xff\xff\x7f",
    "a size of a whole number": b"\x8b\xff\xff\xff\x7f",
    "a later protocol": b"\x80\x06N",
    "no value": b"",
    "a mark that is not there": b"t",
    "an odd number of items": b"}(Nu",
    "items for a number": b"K\x01(Ne",
    "tuples a million deep": chain(b"\x85", 1_000_000),
    "frozensets too deep": b")" + b"".join(b"\x94(h" + bytes([1 + n]) + b"\x91" for n in range(250)),
    "lists too deep": b"]" * (LEVELS + 2) + b"a" * (LEVELS + 1),
    "a key that doubles": b"}" + doubled(60) + b"Ns",
    "a member of a set that doubles": b"\x8f(" + doubled(60) + b"\x90",
    "a member of a frozenset that doubles": b"(" + doubled(60) + b"\x91",
    "keys of one hash": b"\x8f(" + SAME + b"\x90",
    "keys of one hash in a dict": b"}(" + b"".join(ints(n * (2**61 - 1)) + b"N" for n in range(1, 200)) + b"u",
    "a list as a key": b"}]Ns",
    "a fraction that is too much": FRACTION + text("1e999999999") + b"\x85R",
    "a fraction by nothing": FRACTION + b"K\x01K\x00\x86R",
    "a range that is no number": named("builtins", "range") + b"NNN\x87R",
    "a date of a zone of its own": named("datetime", "datetime") + b"C\x0a" + b"\x07" * 10 + b"]\x86R",
    "a path of bytes": named("pathlib", "Path") + b"C\x01a\x85R",
    "one long text, again and again": named("pathlib", "Path") + b"\x94X" + struct.pack("<I", 100_000) + b"a" * 100_000
    + b"\x85\x940]" + b"(" + b"h\x01h\x02R" * 5_000 + b"e",
    "a buffer that is not there": b"\x97",
    "a buffer itself": b"\x97",
}  # fmt: skip

NUMPY_ROWS = {
    "an array of objects": ARRAY + b"(C\x08" + b"\x01" * 8 + named("numpy", "dtype") + text("O8") + b"\x89\x88\x87R" + b"K\x01\x85" + text("C") + b"tR",
    "an array that is too large": ARRAY + b"(C\x08" + b"\x01" * 8 + DTYPE + ints(2**40) + b"\x85" + text("C") + b"tR",
    "an array that is too small": ARRAY + b"(C\x10" + b"\x01" * 16 + DTYPE + b"K\x01\x85" + text("C") + b"tR",
    "an array of less than nothing": ARRAY + b"(C\x08" + b"\x01" * 8 + DTYPE + ints(-1) + b"\x85" + text("C") + b"tR",
    "elements of no size": ARRAY + b"(C\x00" + named("numpy", "dtype") + text("S0") + b"\x89\x88\x87R" + ints(2**60) + b"\x85" + text("C") + b"tR",
    "a dtype that is code": named("numpy", "dtype") + text("f8,O") + b"\x89\x88\x87R",
    "a dtype as a value": DTYPE,
    "a state of a dtype that is too short": DTYPE + b")b",
    "a state of a dtype that says little": DTYPE + EMPTY_STATE + b"b",
    "an array of another class": named("numpy._core.multiarray", "_reconstruct") + named("builtins", "range") + b"K\x00\x85C\x01b\x87R",
    "a scalar of objects": named("numpy._core.multiarray", "scalar") + DTYPE + b"C\x01a\x86R",
    "numpy's own loader": named("numpy", "load") + text("x") + b"\x85R",
}


def refused(hostile: Bundle, landing: Arrival | None = None) -> UnpackError:
    RAN.clear()
    with pytest.raises(UnpackError) as caught:
        read_data(hostile, landing)
    assert not RAN and "\n" not in caught.value.message and len(caught.value.message) < 700
    return caught.value


@pytest.mark.parametrize("row", ROWS)
def test_what_is_no_data_is_refused(row):
    assert refused(bundle(ROWS[row], buffers=[b"1234"] if row == "a buffer itself" else ())).reason == "untrusted"


@pytest.mark.parametrize("row", NUMPY_ROWS)
def test_arrays_that_lie_are_refused(row):
    pytest.importorskip("numpy")
    assert refused(bundle(NUMPY_ROWS[row])).reason == "untrusted"


def test_the_same_writing_with_data_in_it_is_taken():
    """The rows above are refused for what is in them, not for how they are written."""
    assert read_data(bundle(b"](K\x01" + text("a") + b"e")) == {"x": [1, "a"]}
    assert read_data(bundle(doubled(2)))["x"] == (((), ()), ((), ()))
    assert read_data(bundle(named("datetime", "date") + b"C\x04\x07\xe8\x01\x02\x85R"))["x"].isoformat() == "2024-01-02"


@pytest.mark.parametrize("value", [trap, RAN.append, Mirror, Mirror(0), pickle, ValueError("x"), [{"deep": (trap,)}]], ids=repr)
def test_what_an_honest_pickler_writes_is_refused_when_it_is_no_data(value):
    try:
        packed = pack({"y": value}, namespace={}).bundle
    except Exception as error:  # what cannot travel at all
        pytest.skip(str(error))
    error = refused(packed)
    assert error.name == "y" and error.message.startswith("`y` was refused: the worker sent ")


@pytest.mark.parametrize("name", [text("__builtins__"), text("a b"), b"K\x01", text("")])
def test_names_that_python_needs_are_not_taken(name):
    assert "the name" in refused(bundle(b"N", name=name)).message


def test_memory_stays_in_proportion_to_what_arrived():
    hostile = bundle(b"](" + b"\x8f\x94" * 100_000 + b"e")
    tracemalloc.start()
    try:
        read_data(hostile)
        assert tracemalloc.get_traced_memory()[1] < GROWTH * len(hostile.pickle)
    finally:
        tracemalloc.stop()


class Own:
    def __init__(self) -> None:
        self.v = 1


def held(value: object) -> tuple[Mirror, int]:
    mirror = Mirror(0)
    return mirror, mirror.twins.name([value])[0]


def contents(number: int, kind: str, held: bytes) -> bytes:
    return text("x") + ints(number) + text(kind) + held + b"\x86\x87."


@pytest.mark.parametrize(
    ("twin", "kind", "told"),
    [
        (trap, "function", b"(NNN}]t"), (Own(), "instance", b"}" + text("v") + b"K\x02s}N\x87"), (Own(), "state", b"}" + text("v") + b"K\x02s"),
        (Own, "dict", b"}"), (pickle, "dict", b"}"), ([1], "dict", b"}"), ({1: 2}, "list", b"]"), ([1], "array", b"]"),
        ([1], "list", b"]h\x00a"), ({1}, "set", b"](" + SAME + b"e"), ([1], "nonsense", b"]"), ([1], "list", b")"),
    ],
)  # fmt: skip
def test_contents_that_would_change_more_than_data_are_refused(twin, kind, told):
    mirror, number = held(twin)
    before = repr(vars(twin)) if isinstance(twin, Own) else repr(twin)
    refused(bundle(b"N", contents=contents(number, kind, told)), Arrival(mirror))
    assert (repr(vars(twin)) if isinstance(twin, Own) else repr(twin)) == before


@pytest.mark.parametrize("value", [b"h\x01", b"]h\x01a", b"h\x01)R", b"h\x01}b"])
def test_what_the_notebook_holds_is_not_given_another_name_or_called(value):
    mirror, number = held(trap)
    refused(bundle(value, numbers=[number]), Arrival(mirror))


def test_a_list_that_the_notebook_holds_is_changed_by_contents_alone():
    mine = [1]
    mirror, number = held(mine)
    refused(bundle(b"h\x01K\x02a", numbers=[number]), Arrival(mirror))
    assert mine == [1]
    end = b"(]]}]}}t."
    read_data(bundle(b"h\x01", numbers=[number], contents=contents(number, "list", b"]K\x05a"), tail=end), Arrival(mirror))
    assert mine == [5]


@pytest.mark.parametrize("tail", [b"K\x01.", b"(]]}]t.", b"(]K\x07a]}]}}t.", b"(]K\x07a]K\x09a}]}}t.", b"(]]]]}}t.", b"(]]}]K\x01a}}t.", b"(]]}]}}K\x01]st."])
def test_an_end_that_makes_no_sense_is_refused(tail):
    mirror, _ = held([1])
    refused(bundle(b"N", tail=tail), Arrival(mirror))
