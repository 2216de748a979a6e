"""Targets: what is read, what is refused, and which device is what was asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote_runtime.wire.targets import GB, Want, format_target, matches, parse_target, short_model

GIB = 2**30

READ = [
    ("A100", (Want("model", "A100"),)),
    ("a100", (Want("model", "a100"),)),
    ("A100:2", (Want("model", "A100", None, 2),)),
    ("A100-80GB", (Want("model", "A100-80GB", 80 * GB),)),
    ("A100-80GB:4", (Want("model", "A100-80GB", 80 * GB, 4),)),
    ("RTX4090", (Want("model", "RTX4090"),)),
    (">=24GB", (Want("memory", None, 24 * GB),)),
    (">=24gb:2", (Want("memory", None, 24 * GB, 2),)),
    (">=24G", (Want("memory", None, 24 * GB),)),
    (">= 24GiB", (Want("memory", None, 24 * GIB),)),
    (">=1.5GB", (Want("memory", None, 1_500_000_000),)),
    (">=24", (Want("memory", None, 24 * GB),)),
    ("any", (Want("any"),)),
    ("ANY:2", (Want("any", count=2),)),
    ("cpu", (Want("cpu"),)),
    ("CPU", (Want("cpu"),)),
    ("H100,A100:2,any", (Want("model", "H100"), Want("model", "A100", None, 2), Want("any"))),
    ("H100, any", (Want("model", "H100"), Want("any"))),
    ('"A100:2"', (Want("model", "A100", None, 2),)),
    (" 'cpu' ", (Want("cpu"),)),
]

REFUSED = [
    ("", "the target is empty"),
    ("   ", "the target is empty"),
    ("''", "the target is empty"),
    ("A100,", "a part of the target `A100,` is empty"),
    (":2", "a part of the target `:2` is empty"),
    ("A100:0", "`A100:0` asks for `0` devices"),
    ("A100:x", "`A100:x` asks for `x` devices"),
    ("A100:-1", "`A100:-1` asks for `-1` devices"),
    ("A100:", "`A100:` asks for `` devices"),
    ("A100:1:2", "`A100:1:2` asks for `1:2` devices"),
    ("A100:²", "`A100:²` asks for `²` devices"),
    ("A100:999999999999", "`A100:999999999999` asks for"),
    ("any:0", "`any:0` asks for `0` devices"),
    ("cpu:2", "`cpu:2` counts CPUs"),
    (">=", "`>=` names no size of memory"),
    (">=0GB", "`>=0GB` names no size of memory"),
    (">=24TB", "`>=24TB` names no size of memory"),
    (">24GB", "`>24GB` names no size of memory"),
    ("RTX 4090", "`RTX 4090` is no target\nhint: write it without blanks: `RTX4090`"),
    ("A100;rm", "`A100;rm` is no target"),
    ("{nope}", "the name in `{nope}` is undefined"),
    ("$nope", "the name in `$nope` is undefined"),
    ("A100:{n}", "the name in `{n}` is undefined"),
]

A100_80 = ("NVIDIA A100-SXM4-80GB", 81920 * 2**20)
A100_40 = ("NVIDIA A100-PCIE-40GB", 40960 * 2**20)
H100 = ("NVIDIA H100 80GB HBM3", 81559 * 2**20)
A10 = ("NVIDIA A10", 23028 * 2**20)
A10G = ("NVIDIA A10G", 23028 * 2**20)
T4 = ("Tesla T4", 15360 * 2**20)
H200 = ("NVIDIA H200", 143771 * 2**20)
RTX = ("NVIDIA GeForce RTX 4090", 24564 * 2**20)
RTX_TI = ("NVIDIA GeForce RTX 3080 Ti", 12288 * 2**20)
DEVICES = {"A100_80": A100_80, "A100_40": A100_40, "H100": H100, "A10": A10, "A10G": A10G, "T4": T4, "H200": H200,
           "RTX": RTX, "RTX_TI": RTX_TI, "CPU": ("cpu", None)}  # fmt: skip

FOUND = [
    ("A100", "A100_80 A100_40"),
    ("a100", "A100_80 A100_40"),
    ("A100-80GB", "A100_80"),
    ("A100-40GB", "A100_40"),
    ("A100-SXM4", "A100_80"),
    ("A100-SXM", "A100_80"),
    ("H100", "H100"),
    ("H100-80GB", "H100"),
    ("A10", "A10"),
    ("A10G", "A10G"),
    ("A1", ""),
    ("T4", "T4"),
    ("H200-141GB", "H200"),
    ("RTX4090", "RTX"),
    ("rtx-4090", "RTX"),
    ("RTX", ""),
    ("RTX3080", ""),
    ("RTX3080Ti", "RTX_TI"),
    (">=24GB", "A100_80 A100_40 H100 A10 A10G H200 RTX"),
    (">=80GB", "A100_80 H100 H200"),
    (">=200GB", ""),
    ("any", "A100_80 A100_40 H100 A10 A10G T4 H200 RTX RTX_TI"),
    ("cpu", "CPU"),
]


@pytest.mark.parametrize(("text", "wants"), READ)
def test_reads(text: str, wants: tuple[Want, ...]) -> None:
    assert parse_target(text) == wants


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refuses(text: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_target(text)
    assert str(error.value).startswith(message)
    assert "\nhint: " in str(error.value)


@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_finds_devices(text: str, expected: str) -> None:
    (want,) = parse_target(text)
    found = {name for name, (model, memory_bytes) in DEVICES.items() if matches(want, model, memory_bytes)}
    assert found == set(expected.split())


def test_an_unknown_memory_satisfies_no_demand_for_memory() -> None:
    (least,) = parse_target(">=1GB")
    (variant,) = parse_target("A100-80GB")
    assert not matches(least, "NVIDIA A100", None)
    assert not matches(variant, "NVIDIA A100", None)
    assert matches(variant, "NVIDIA A100-SXM4-80GB", None)


@pytest.mark.parametrize(
    ("model", "short"),
    [("NVIDIA A100-SXM4-80GB", "A100-80GB"), ("NVIDIA H200", "H200"), ("NVIDIA GeForce RTX 4090", "RTX 4090"),
     ("Tesla T4", "T4"), ("NVIDIA H100 80GB HBM3", "H100-80GB"), ("NVIDIA A10G", "A10G"), ("A100", "A100"), ("cpu", "cpu"),
     ("NVIDIA", "NVIDIA")],
)  # fmt: skip
def test_short_names(model: str, short: str) -> None:
    assert short_model(model) == short


@pytest.mark.parametrize("text", ["A100", "A100-80GB:2,>=24GB:3,any,cpu", ">=1.5GB", ">=24GiB"])
def test_formats_as_it_was_typed(text: str) -> None:
    assert format_target(parse_target(text)) == text


wants = st.lists(
    st.one_of(
        st.builds(lambda m, c: f"{m}:{c}", st.from_regex(r"[A-Z][A-Z0-9-]{0,8}", fullmatch=True), st.integers(1, 64)),
        st.builds(lambda g, c: f">={g}GB:{c}", st.integers(1, 500), st.integers(1, 64)),
    ),
    min_size=1,
    max_size=4,
).map(",".join)


@given(wants.filter(lambda text: "CPU:" not in text))
def test_formatting_and_reading_agree(text: str) -> None:
    read = parse_target(text)
    assert parse_target(format_target(read)) == read


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused_with_a_hint(text: str) -> None:
    try:
        assert parse_target(text)
    except ValueError as error:
        assert "\nhint: " in str(error)
