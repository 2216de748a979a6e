"""Targets: what a user asks for, and whether a device is that.

    'A100-80GB:2,>=24GB' --parse_target--> (Want, Want) --matches(want, model, memory)--> the device to take

The same words are read in the kernel, to refuse a typo before anything starts, and in the pool, to place a
session. Model names are compared by their parts, never by prefix: `A10` is no `A100` and no `A10G`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["model", "memory", "any", "cpu"]

GB = 10**9
GIB = 2**30
VARIANT_TOLERANCE_FRACTION = 0.1  # an "80 GB" card reports up to 85.9 * 10**9 bytes
LEAST_TOLERANCE_FRACTION = 0.03  # with error correction, a 24 GB card reports 23.8 * 10**9 bytes
COUNT_MAX = 1024

_ITEM = re.compile(r"(?P<what>[^:]*)(?P<colon>:(?P<count>.*))?")
_MEMORY = re.compile(r">=\s*(?P<size>\d+(?:\.\d+)?)\s*(?P<unit>GB|GiB|G)?", re.I)
_SIZE = re.compile(r"(?P<size>\d+(?:\.\d+)?)\s*(?P<unit>GB|GiB|G)", re.I)
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_SIZE_PART = re.compile(r"(\d+)(gb|gib)")
_UNEXPANDED = re.compile(r"\{[^{}]*\}|\$\w+")
_VENDOR_PARTS = frozenset(
    {"nvidia", "amd", "intel", "tesla", "geforce", "quadro", "instinct", "gpu", "generation"}
)
_FORM_PARTS = frozenset(
    {"sxm", "sxm2", "sxm3", "sxm4", "sxm5", "pcie", "nvl", "hbm2", "hbm2e", "hbm3", "hbm3e"}
)
_EXAMPLES = "write for example `A100`, `A100:2`, `A100-80GB`, `A100/20GB`, `>=24GB`, `any`, `cpu`, or a list `A100,any`"


@dataclass(frozen=True)
class Want:
    """One thing that would do.

    Args:
        kind: What decides: a model's name, a least memory, any accelerator, or none at all.
        model: The model as the user typed it, for kind 'model'.
        memory_bytes: For 'memory' the least that will do; for 'model' the memory of the variant, if one was
            named.
        count: How many devices.
        share_bytes: Of each device's memory, what is meant to be taken; None means all of it.
    """

    kind: Kind
    model: str | None = None
    memory_bytes: int | None = None
    count: int = 1
    share_bytes: int | None = None


def parse_target(text: str) -> tuple[Want, ...]:
    """Return what a target asks for, in order of preference.

    Args:
        text: A comma list of `MODEL`, `MODEL-80GB`, `>=24GB`, `any` or `cpu`, each with `:COUNT` if more than
            one, and with `/20GB` if a share of each device's memory will do.

    Raises:
        ValueError: The text is no target; the message ends with a hint.
    """
    bare = text.strip().strip("\"'").strip()
    unexpanded = _UNEXPANDED.search(bare)
    if unexpanded is not None:
        name = unexpanded[0].strip("{}$ ")
        raise _bad(
            f"the name in `{unexpanded[0]}` is undefined, so the target was left as it stands",
            f"define `{name}` first, or write the target itself",
        )
    if not bare:
        raise _bad("the target is empty", _EXAMPLES)
    return tuple(_parse_one(item.strip(), bare) for item in bare.split(","))


def _parse_one(item: str, whole: str) -> Want:
    item, slash, share = (part.strip() for part in item.partition("/"))
    want = _parse_whole(item, whole)
    if not slash:
        return want
    if want.kind == "cpu":
        raise _bad(f"`{item}/{share}` asks for a share of the processor's memory", "write `cpu`")
    return replace(want, share_bytes=_share(share, item))


def _share(text: str, item: str) -> int:
    try:
        return parse_share(text)
    except ValueError:
        raise _bad(f"`{item}/{text}` names no share of memory", f"write it as `{item}/20GB`") from None


def parse_share(text: str) -> int:
    """Return a share of a device's memory in bytes.

    Args:
        text: A number above zero and its unit: `20GB`, `20GiB`, `20G`.

    Raises:
        ValueError: The text is no size; the message ends with a hint.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or _bytes(match) == 0:
        raise _bad(f"`{text}` names no share of memory", "write it with its unit: `20GB`")
    return _bytes(match)


def _parse_whole(item: str, whole: str) -> Want:
    match = _ITEM.fullmatch(item)
    if match is None or not match["what"]:
        raise _bad(f"a part of the target `{whole}` is empty", _EXAMPLES)
    what = match["what"].strip()
    count = _count(match["count"], item) if match["colon"] else 1
    if what.lower() == "cpu":
        if match["colon"]:
            raise _bad(f"`{item}` counts CPUs, which are not handed out one by one", "write `cpu`")
        return Want("cpu")
    if what.lower() == "any":
        return Want("any", count=count)
    if what.startswith(">"):
        return Want("memory", memory_bytes=_memory(what, item), count=count)
    if _MODEL.fullmatch(what) is None:
        joined = what.replace(" ", "")
        hint = f"write it without blanks: `{joined}`" if _MODEL.fullmatch(joined) else _EXAMPLES
        raise _bad(f"`{item}` is no target", hint)
    return Want("model", model=what, memory_bytes=_size_in(what), count=count)


def _count(text: str, item: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= COUNT_MAX:
        hint = f"write a whole number from 1 to {COUNT_MAX} after the colon"
        raise _bad(f"`{item}` asks for `{text}` devices", hint)
    return int(text)


def _memory(what: str, item: str) -> int:
    match = _MEMORY.fullmatch(what)
    if match is None or float(match["size"]) == 0:
        raise _bad(f"`{item}` names no size of memory", "write it as `>=24GB`")
    return _bytes(match)


def _bytes(match: re.Match[str]) -> int:
    return int(float(match["size"]) * (GIB if (match["unit"] or "").lower() == "gib" else GB))


def _size_in(model: str) -> int | None:
    sizes = [_SIZE_PART.fullmatch(part) for part in _parts(model)]
    return next((int(size[1]) * GB for size in sizes if size is not None), None)


def _bad(what: str, hint: str) -> ValueError:
    return ValueError(f"{what}\nhint: {hint}")


def matches(want: Want, model: str, memory_bytes: int | None) -> bool:
    """Return whether one device is what was asked for; how many there are is the pool's matter.

    Args:
        want: One part of a target.
        model: The device's model as its driver says it, such as `NVIDIA A100-SXM4-80GB`.
        memory_bytes: The device's memory, None if unknown.

    Returns:
        Whether it will do. A memory that is unknown never satisfies a demand for memory.
    """
    if want.kind == "cpu":
        return model.lower() == "cpu"
    if model.lower() == "cpu":
        return False
    if want.kind == "any":
        return True
    if want.kind == "memory":
        return _has_memory(memory_bytes, want.memory_bytes or 0)
    return _same_model(want.model or "", model) and _same_size(want.memory_bytes, model, memory_bytes)


def _has_memory(memory_bytes: int | None, least_bytes: int) -> bool:
    return memory_bytes is not None and memory_bytes >= least_bytes * (1 - LEAST_TOLERANCE_FRACTION)


def _same_model(asked: str, model: str) -> bool:
    forms = [part for part in _parts(asked) if part in _FORM_PARTS]
    has_forms = all(any(part.startswith(form) for part in _parts(model)) for form in forms)
    return has_forms and "".join(_bare_parts(asked)) == "".join(_bare_parts(model))


def _same_size(size_bytes: int | None, model: str, memory_bytes: int | None) -> bool:
    if size_bytes is None:
        return True
    known = memory_bytes if memory_bytes is not None else _size_in(model)
    return known is not None and abs(known - size_bytes) <= VARIANT_TOLERANCE_FRACTION * size_bytes


def _parts(model: str) -> list[str]:
    return [part for part in re.split(r"[\s_-]+", model.lower()) if part]


def _bare_parts(model: str) -> list[str]:
    """Return a model's parts without vendor, form factor and memory: `['rtx', '4090']`."""
    parts = _parts(model)
    noise = _VENDOR_PARTS | _FORM_PARTS
    return [part for part in parts if part not in noise and not _SIZE_PART.fullmatch(part)] or parts


def short_model(model: str) -> str:
    """Return a model's everyday name.

    Args:
        model: The model as its driver says it.

    Returns:
        Such as `A100-80GB`, `H200`, `RTX 4090`.
    """
    words = [word for word in re.split(r"[\s_-]+", model) if word]
    kept = [word for word in words if word.lower() not in _VENDOR_PARTS | _FORM_PARTS]
    sizes = [word for word in kept if _SIZE_PART.fullmatch(word.lower())]
    bare = " ".join(word for word in kept if word not in sizes)
    return "-".join([bare, *sizes]) if bare else model


def format_target(wants: Sequence[Want]) -> str:
    """Return a target as text that `parse_target` reads back to the same wants."""
    return ",".join(_format_one(want) for want in wants)


def _format_one(want: Want) -> str:
    more = f":{want.count}" if want.count > 1 else ""
    more += f"/{format_size(want.share_bytes)}" if want.share_bytes is not None else ""
    if want.kind == "memory":
        return f">={format_size(want.memory_bytes or 0)}{more}"
    return f"{want.model if want.kind == 'model' else want.kind}{more}"


def format_size(size_bytes: int) -> str:
    """Return a size as targets spell it, such as `20GB`; it is read back to the same number of bytes."""
    unit, name = (GIB, "GiB") if size_bytes % GIB == 0 else (GB, "GB")
    return f"{size_bytes / unit:.12g}{name}"
