"""Bytes of an honest bundle, changed at random and sealed anew: data, or one refusal, and never anything else."""

from __future__ import annotations

import datetime
import decimal
import fractions
import pathlib
import uuid

from hypothesis import given, settings
from hypothesis import strategies as st

from remote_runtime.wire.bundle import SEAL_BYTES, Bundle, seal
from remote_runtime.wire.data import why_not
from remote_runtime.wire.datareader import read_data
from remote_runtime.wire.payload import UnpackError, pack

VALUES = {
    "plain": [None, True, 1, 2**80, 1.5, 1j, "text", b"bytes", bytearray(b"b"), (1, (2, 3)), {"k": [4]}, {5, "x"}, frozenset({6})],
    "small": [range(3), slice(1), decimal.Decimal("1.5"), fractions.Fraction(1, 3), uuid.UUID(int=7), pathlib.PurePosixPath("a/b")],
    "moments": [datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc), datetime.date(2024, 1, 2), datetime.timedelta(1)],
}  # fmt: skip
try:
    import numpy as np
except ModuleNotFoundError:
    pass
else:
    record = [("a", ">i4"), ("b", "M8[D]"), ("c", "f4", (2,)), ("d", [("e", "?")])]
    VALUES["arrays"] = [np.arange(6.0).reshape(2, 3)[:, ::2], np.zeros(2, record), np.float32(1), np.array(["ab"]), np.datetime64(3, "s")]

STREAM = bytes(pack(VALUES, namespace={}).bundle.pickle)[:-SEAL_BYTES]


def test_unchanged_all_of_it_is_taken():
    found = read_data(Bundle(STREAM + seal(STREAM)))
    assert list(found) == list(VALUES) and repr(found) == repr(VALUES)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_changed_it_is_data_or_refused(data: st.DataObject) -> None:
    stream = bytearray(STREAM)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(stream) - 1))
        stream[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    try:
        values = read_data(Bundle(bytes(stream) + seal(stream)))
    except UnpackError as error:
        assert error.reason in ("untrusted", "parted") and error.hint
    else:
        assert not any(map(why_not, values.values()))
