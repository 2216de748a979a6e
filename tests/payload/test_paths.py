"""A path arrives as one of the system where it arrives."""

from __future__ import annotations

from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

import pytest

from remote_runtime.wire.payload import pack, unpack


def crossed(value: object) -> Any:
    return unpack(pack({"value": value}, namespace={}).bundle, {})["value"]


WindowsPath = type("WindowsPath", (PureWindowsPath,), {"__module__": "pathlib"})
"""What a kernel on Windows has: this system cannot make the real one, which is why it must not be asked to."""


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        (Path("data") / "train.csv", "data/train.csv"), (Path("/data"), "/data"), (Path(), "."),
        (WindowsPath("data") / "train.csv", "data/train.csv"), (WindowsPath("C:/data"), "C:/data"),
    ],
)  # fmt: skip
def test_a_path_is_one_of_the_system_where_it_arrives(sent: PurePath, arrives: str) -> None:
    found = crossed(sent)
    assert type(found) is type(Path()) and str(found) == arrives


def test_two_names_of_one_path_stay_one() -> None:
    path = Path("a")
    one, two = crossed([path, path])
    assert one is two and one == path


def test_a_pure_path_stays_what_it_is() -> None:
    assert crossed(PureWindowsPath("C:/a")) == PureWindowsPath("C:/a")
