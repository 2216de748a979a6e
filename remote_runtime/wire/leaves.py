"""Digests of what is compared as a whole: compiled code, arrays, tensors.

The same contents have the same digest in every process, wherever they lie in memory.
"""

from __future__ import annotations

import sys
import types
from typing import Any

import xxhash

from remote_runtime.wire import crew

_HASH_BYTES = 16
_CODES: dict[int, tuple[types.CodeType, bytes]] = {}
_CODES_LIMIT = 4096


def code_digest(code: types.CodeType) -> bytes:
    """Return a digest of what code does, without where it stands."""
    found = _CODES.get(id(code))
    if found is not None:
        return found[1]
    hashed = xxhash.xxh3_128(code.co_code)
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    hashed.update(repr((shape, names, getattr(code, "co_exceptiontable", b""))).encode())
    for constant in code.co_consts:
        hashed.update(_constant(constant))
    if len(_CODES) >= _CODES_LIMIT:
        _CODES.clear()
    _CODES[id(code)] = code, hashed.digest()
    return hashed.digest()


def _constant(constant: object) -> bytes:
    if isinstance(constant, types.CodeType):
        return code_digest(constant)
    if isinstance(constant, frozenset):
        return repr(sorted(map(repr, constant))).encode()
    return f"{type(constant).__name__} {constant!r}".encode()


def array_digest(array: Any) -> bytes:
    """Return a digest of an array's elements, followed by its shape and kind."""
    numpy = sys.modules["numpy"]
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    hashed = xxhash.xxh3_128(order.encode())
    if array.nbytes:
        flat = numpy.ascontiguousarray(array.T if order == "F" else array).reshape(-1)
        take(hashed, memoryview(flat.view(numpy.ndarray).view(numpy.uint8)))
    return hashed.digest() + f"{array.dtype!r} {array.shape}".encode()


def take(hashed: xxhash.xxh3_128, memory: memoryview) -> None:
    """Let a hash take memory; much of it as the digests of its parts, which several threads make at once."""
    parts = crew.parts(memory.nbytes)
    if len(parts) == 1:
        hashed.update(memory)
        return
    digests = [b""] * len(parts)

    def digest_part(number: int) -> None:
        begin, end = parts[number]
        digests[number] = xxhash.xxh3_128_digest(memory[begin:end])

    crew.share(digest_part, len(parts))
    hashed.update(b"".join(digests))


def tensor_digest(tensor: Any) -> bytes:
    """Return a digest of a tensor and its gradient; one on a GPU counts by its identity and its count of changes."""
    torch = sys.modules["torch"]
    grad = tensor_digest(tensor.grad) if tensor.is_leaf and tensor.grad is not None else b""
    head = f"{type(tensor).__name__} {tensor.requires_grad}".encode()
    shape = f"{tensor.dtype} {tuple(tensor.shape)}".encode()
    if tensor.device.type != "cpu" or tensor.layout != torch.strided or tensor.is_quantized:
        return xxhash.xxh3_128_digest(head + b"%d %d" % (id(tensor), tensor._version) + grad) + shape
    hashed = xxhash.xxh3_128(head + grad)
    if tensor.numel():
        flat = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
        take(hashed, memoryview(flat.view(torch.uint8).numpy()))
    return hashed.digest() + shape


def shape_in(digest: bytes) -> bytes:
    """Return what a leaf's digest says of its shape; a twin of another shape cannot take its contents."""
    return digest[_HASH_BYTES:]
