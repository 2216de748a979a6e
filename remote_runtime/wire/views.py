"""Arrays that look at the same memory: which of them travels as a view of which other.

    arrays that a bundle may hold -> the memory they share -> view: (carrier, where in it) -> `make_view` at the far end

A carrier is a contiguous array, as only such a one lies in memory at the far end as it does here. Only arrays that
travel anyway carry others: a small view of a large array that stays here travels alone, as an array of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple


class OtherLayout(Exception):
    """A carrier lies in memory otherwise than at the other end."""


class Place(NamedTuple):
    """Where a view lies.

    Args:
        carrier: In which array.
        offset_bytes: Where in that one's memory its first element is.
    """

    carrier: Any
    offset_bytes: int


def of_numpy(objects: Iterable[object]) -> list[Any]:
    """Return those objects that are plain arrays of plain elements."""
    numpy = sys.modules.get("numpy")
    kind = getattr(numpy, "ndarray", None)
    return [obj for obj in objects if type(obj) is kind and obj.nbytes and not obj.dtype.hasobject]  # type: ignore[attr-defined]


def places(arrays: Iterable[Any], may_carry: Callable[[Any], bool] = lambda array: True) -> dict[int, Place]:
    """Find the views among arrays.

    Args:
        arrays: As `of_numpy` gives them; of two that could carry each other the first one does.
        may_carry: Tells whether an array lies in memory at the far end as it does here.

    Returns:
        Identity of a view -> its place.
    """
    groups: dict[int, dict[int, Any]] = {}
    for array in arrays:
        groups.setdefault(id(_owner(array)), {})[id(array)] = array
    found: dict[int, Place] = {}
    for group in groups.values():
        if len(group) > 1:
            found.update(_placed(list(group.values()), may_carry))
    return found


def reduce_view(view: Any, place: Place) -> tuple[Any, ...]:
    """Take a view apart, as `__reduce__` does."""
    carrier, offset = place
    args = (carrier, carrier.strides, offset, view.shape, view.strides, view.dtype, view.flags.writeable)
    return make_view, args


def make_view(
    carrier: Any, layout: tuple[int, ...], offset: int, shape: tuple[int, ...], *rest: Any
) -> Any:
    """Rebuild a view.

    Args:
        carrier: The array whose memory it shows.
        layout: The carrier's strides at the other end, in bytes.
        offset: Of its first element there, in bytes.
        shape: Its shape.
        *rest: Its strides, its dtype, and whether it may be written.

    Raises:
        OtherLayout: The carrier lies otherwise here.
    """
    import numpy as np

    strides, dtype, writeable = rest
    if carrier.strides != layout or not is_contiguous(carrier):
        raise OtherLayout("an array lies in memory otherwise than its twin")
    memory = (carrier if carrier.flags.c_contiguous else carrier.T).reshape(-1).view(np.uint8)
    view = np.ndarray(shape, dtype, memory, offset, strides)
    view.flags.writeable = writeable and view.flags.writeable
    return view


def _placed(group: list[Any], may_carry: Callable[[Any], bool]) -> Mapping[int, Place]:
    """Find the views among arrays that share memory; whatever carries others comes before them."""
    order = sorted(group, key=lambda array: -array.nbytes)
    carriers = [(array, *_extent(array)) for array in order if is_contiguous(array) and may_carry(array)]
    found = {}
    for array in order:
        start, end = _extent(array)
        for carrier, first, last in carriers:
            if carrier is array:
                break
            if first <= start and end <= last:
                found[id(array)] = Place(carrier, _address(array) - first)
                break
    return found


def _owner(array: Any) -> Any:
    """Return the array at the end of the chain of bases."""
    while type(array.base) is type(array):
        array = array.base
    return array


def is_contiguous(array: Any) -> bool:
    """Tell whether an array's elements lie side by side, in one of the two orders."""
    return bool(array.flags.c_contiguous or array.flags.f_contiguous)


def _address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


def _extent(array: Any) -> tuple[int, int]:
    """Return the first byte of an array, and the one behind its last."""
    start = end = _address(array)
    for count, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            start += stride * (count - 1)
        else:
            end += stride * (count - 1)
    return start, end + array.itemsize
