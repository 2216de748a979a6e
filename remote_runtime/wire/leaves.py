"""Digests of what is compared as a whole: compiled code, arrays, tensors.

The same contents have the same digest in every process, wherever they lie in memory. The digest of an array or a
tensor begins with that of its elements as they lie in memory, which is also how a large content is known on its way.
"""

from __future__ import annotations

import sys
import types
from typing import Any

import xxhash

from remote_runtime.wire import bulk, crew, limits

CONTENT_DIGEST_BYTES = 16
_HASH_BYTES = CONTENT_DIGEST_BYTES + 16
_SAMPLE_BYTES = 4096
Contents = dict[tuple[int, int], tuple[bytes, object]]
"""Address and size of large arrays -> digest of their elements; and who holds the memory, so that it stays theirs."""

_NOT_THE_CLASS = frozenset({"__dict__", "__weakref__", "__module__", "__doc__", "__abstractmethods__", "_abc_impl"})
_NOT_THE_CLASS |= {"__firstlineno__", "__static_attributes__", "__slotnames__"}
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


def class_parts(cls: type) -> tuple[object, ...]:
    """Return what makes a class, as walkable parts."""
    body = {name: part for name, part in vars(cls).items() if name not in _NOT_THE_CLASS}
    return cls.__qualname__, cls.__bases__, *((name, _undressed(part)) for name, part in body.items())


def _undressed(part: object) -> object:
    """Return what a descriptor of a class holds, as walkable parts."""
    if isinstance(part, (staticmethod, classmethod)):
        return type(part).__name__, part.__func__
    if isinstance(part, property):
        return "property", part.fget, part.fset, part.fdel
    return part


def content_digest(content: Any) -> bytes:
    """Return a digest of bytes in memory; of a large content without the interpreter's lock."""
    return bulk.digest(memoryview(content))


def array_digest(array: Any, content: bytes = b"") -> bytes:
    """Return a digest of an array's elements, followed by its order, shape and kind.

    Args:
        array: A numpy array.
        content: The `content_digest` of its elements, where that is known.
    """
    order = b"F" if _is_fortran(array) else b"C"
    return (content or content_digest(_flat(array))) + order * 16 + f"{array.dtype!r} {array.shape}".encode()


def _is_fortran(array: Any) -> bool:
    return array.flags.f_contiguous and not array.flags.c_contiguous


def _flat(array: Any) -> Any:
    """Return an array's bytes as they lie in memory; of one with gaps, as a copy without."""
    numpy = sys.modules["numpy"]
    if not array.nbytes:
        return b""
    flat = numpy.ascontiguousarray(array.T if _is_fortran(array) else array).reshape(-1)
    return flat.view(numpy.ndarray).view(numpy.uint8)


def bulk_of(value: Any) -> memoryview | None:
    """Return the bytes of a large array that lie in memory as they travel; None for any other value."""
    numpy = sys.modules.get("numpy")
    if numpy is None or type(value) is not numpy.ndarray or value.nbytes < crew.SPLIT_BYTES:
        return None
    return None if value.dtype.hasobject or not value.flags.forc else memoryview(_flat(value))


def sample(value: Any) -> bytes:
    """Return a digest of a few bytes of what `bulk_of` returns; empty where that is nothing.

    Values with different samples are different. More is not to be told from it.
    """
    content = bulk_of(value)
    if content is None:
        return b""
    places = (0, content.nbytes // 2, content.nbytes - _SAMPLE_BYTES)
    return xxhash.xxh3_64_digest(b"".join(content[place : place + _SAMPLE_BYTES] for place in places))


def tensor_digest(tensor: Any) -> bytes:
    """Return a digest of a tensor and its gradient; one on a GPU counts by its identity and its count of changes."""
    torch = sys.modules["torch"]
    grad = tensor_digest(tensor.grad) if tensor.is_leaf and tensor.grad is not None else b""
    head = f"{type(tensor).__name__} {tensor.requires_grad}".encode()
    shape = f"{tensor.dtype} {tuple(tensor.shape)}".encode()
    if tensor.device.type != "cpu" or tensor.layout != torch.strided or tensor.is_quantized:
        changes = b"%d %d" % (id(tensor), tensor._version)
        return xxhash.xxh3_128_digest(changes) + xxhash.xxh3_128_digest(head + grad) + shape
    flat: Any = b""
    if tensor.numel():
        flat = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8).numpy()
    return content_digest(flat) + xxhash.xxh3_128_digest(head + grad) + shape


def note_content(contents: Contents, obj: Any, digest: bytes) -> None:
    """Note the digest of a large array's or tensor's elements, for when its memory travels.

    Args:
        contents: Grows.
        obj: The array or tensor. Of one with gaps nothing is noted: another may fill as many bytes at its address.
        digest: Its digest.
    """
    is_array = isinstance(obj, sys.modules["numpy"].ndarray)
    if not (is_array or _is_plain_memory(obj)) or obj.nbytes < limits.CONTENT_BYTES:
        return
    if not is_array or obj.flags.c_contiguous or obj.flags.f_contiguous:
        address = obj.__array_interface__["data"][0] if is_array else obj.data_ptr()
        contents[address, int(obj.nbytes)] = digest[:CONTENT_DIGEST_BYTES], obj


def _is_plain_memory(tensor: Any) -> bool:
    is_dense = tensor.device.type == "cpu" and tensor.layout == sys.modules["torch"].strided
    return is_dense and not (tensor.is_quantized or tensor.is_conj() or tensor.is_neg()) and tensor.is_contiguous()


def shape_in(digest: bytes) -> bytes:
    """Return what a leaf's digest says of its shape; a twin of another shape cannot take its contents."""
    return digest[_HASH_BYTES:]
