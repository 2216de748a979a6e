"""How single kinds of values are taken apart and rebuilt: the special cases of the payload, as a table.

    value -> (rebuild function, its arguments[, state]) -> bundle -> the same value at the far end

Each group says what would go wrong without it. Libraries are found by the name of a type, so none is
imported before a value of its own appears. The rebuild functions are part of the format: both ends import
them.
"""

from __future__ import annotations

import functools
import inspect
import pathlib
import pickle
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from cloudpickle import cloudpickle

from remote_runtime.wire import kinds

Reduced = Any
"""What a reducer returns: a tuple as `object.__reduce__` does, or NotImplemented."""

PYTHON = tuple(sys.version_info[:2])


class VersionSkew(Exception):
    """Code arrived that another version of Python compiled."""


def by_reference(obj: Any) -> bool:
    """Tell whether an object can be imported under its own name."""
    return cloudpickle._lookup_module_and_qualname(obj) is not None


# What only the receiver can say; its unpickler puts its own answer in the place of these two.


def module_here() -> types.ModuleType:
    """Stand for the module whose names are the receiver's namespace."""
    raise pickle.UnpicklingError("a bundle is read by `unpack` alone")


def resolve_here(token: object) -> object:
    """Stand for what the receiver holds under a token."""
    raise pickle.UnpicklingError("a bundle is read by `unpack` alone")


# Code runs only in the Python that compiled it; a wrong one may crash instead of raising.


def reduce_code(code: types.CodeType) -> Reduced:
    """Take a code object apart, with the version of Python that compiled it."""
    make, args = cloudpickle._code_reduce(code)
    return make_code, (PYTHON, args)


def make_code(python: tuple[int, ...], args: tuple[Any, ...]) -> types.CodeType:
    """Rebuild a code object.

    Raises:
        VersionSkew: Another version of Python compiled it.
    """
    if python != PYTHON:
        theirs, ours = (".".join(map(str, version)) for version in (python, PYTHON))
        raise VersionSkew(f"a function was compiled by Python {theirs} and this is Python {ours}")
    return types.CodeType(*args)


# Functions of the namespace bind to the receiver's namespace, not to a copy of what they use.


def reduce_function(func: types.FunctionType) -> Reduced:
    """Take a function of the namespace apart, without its globals."""
    state, slots = cloudpickle._function_getstate(func)
    del slots["__globals__"]
    closure = func.__closure__ and tuple(cloudpickle._make_empty_cell() for _ in func.__closure__)
    args = (func.__code__, func.__globals__, closure)
    return make_function, args, (state, slots), None, None, set_function_state


def make_function(code: types.CodeType, namespace: dict[str, Any], closure: Any) -> types.FunctionType:
    """Make a function that lives in the receiver's namespace."""
    return types.FunctionType(code, namespace, None, None, closure)


def set_function_state(func: types.FunctionType, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Give a function its attributes, defaults and closure."""
    attributes, slots = state
    func.__dict__.update(attributes)
    del slots["_cloudpickle_submodules"]  # rebuilding the state has imported them, which was its purpose
    for mine, theirs in zip(func.__closure__ or (), slots.pop("__closure__") or (), strict=True):
        try:
            mine.cell_contents = theirs.cell_contents
        except ValueError:  # an empty cell: a variable that is not bound yet
            pass
    for name, value in slots.items():
        setattr(func, name, value)


# Classes of the notebook lose their slots and their qualified name on the way.


def reduce_class(cls: type) -> tuple[Reduced, bool]:
    """Take a class apart.

    Returns:
        What a reducer returns, and whether the class travels by value.
    """
    reduced = cloudpickle._class_reduce(cls)
    if not isinstance(reduced, tuple) or reduced[-1] is not cloudpickle._class_setstate:
        return reduced, False
    make, args, (attributes, slotstate), *rest = reduced
    if "__class__" in attributes:  # set later it would mean the class's own class
        args[3]["__class__"] = attributes.pop("__class__")
    slots = attributes.pop("__slots__", None)
    if slots is not None and make is cloudpickle._make_skeleton_class and not issubclass(cls, tuple):
        args[3]["__slots__"] = slots
    kept = {n: v for n, v in attributes.items() if not isinstance(v, types.MemberDescriptorType)}
    return (make, args, ({**kept, "__qualname__": cls.__qualname__}, slotstate), *rest), True


# Wrappers of functools pickle by name, hold a lock, or hold weak references.


def _reduce_cache(cache: Any) -> Reduced:
    if by_reference(cache):
        return NotImplemented
    state = {name: value for name, value in vars(cache).items() if name != "__wrapped__"}
    return make_cache, (cache.__wrapped__, cache.cache_parameters()), state


def make_cache(func: Callable[..., Any], parameters: Mapping[str, Any]) -> Any:
    """Rebuild a cached function; what it had cached stays where it was."""
    return functools.lru_cache(**parameters)(func)


def _reduce_cached_property(prop: Any) -> Reduced:
    return functools.cached_property, (prop.func,), {"attrname": prop.attrname}


def is_dispatch(func: types.FunctionType) -> bool:
    """Tell whether a function is the wrapper that `functools.singledispatch` returns."""
    return func.__globals__ is vars(functools) and hasattr(func, "registry") and hasattr(func, "dispatch")


def reduce_dispatch(func: Any) -> Reduced:
    """Take a `functools.singledispatch` function apart."""
    default = func.registry[object]
    rows = [(cls, found) for cls, found in func.registry.items() if cls is not object]
    return functools.singledispatch, (default,), rows, None, None, set_dispatch


def set_dispatch(func: Any, rows: list[tuple[type, Any]]) -> None:
    """Register the implementations again."""
    for cls, implementation in rows:
        func.register(cls, implementation)


def _reduce_dispatch_method(method: Any) -> Reduced:
    return make_dispatch_method, (method.func, method.dispatcher)


def make_dispatch_method(func: Any, dispatcher: Any) -> Any:
    """Rebuild a `functools.singledispatchmethod`."""
    method = functools.singledispatchmethod(func)
    method.dispatcher = dispatcher
    return method


# Standard streams are the receiver's own; what only has their type is an open file.

_STANDARD = ("stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__")


def standard_kinds() -> set[type]:
    """Return the classes of the standard streams."""
    return {type(getattr(sys, name)) for name in _STANDARD}


def reduce_standard(value: object) -> Reduced:
    """Send a standard stream by its name, and refuse what only has the same type."""
    name = next((name for name in _STANDARD if getattr(sys, name) is value), None)
    if name is not None:
        return getattr, (sys, name)
    kind = kinds.kind_of(type(value))
    if kind is None:
        return NotImplemented
    raise kinds.Refused(kind.words)


# Names of typing that pickle by reference, which `__main__` does not keep.


def _reduce_new_type(new: Any) -> Reduced:
    if by_reference(new):
        return NotImplemented
    return typing.NewType, (new.__name__, new.__supertype__), {"__module__": new.__module__}


def _reduce_variadic(spec: Any) -> Reduced:
    return NotImplemented if by_reference(spec) else (type(spec), (spec.__name__,))


# A path's class is its system's, and cannot be made on another one; what it names is the same there.


def _reduce_path(path: pathlib.PurePath) -> Reduced:
    return pathlib.Path, (path.as_posix(),)


# Views and memory.


def _reduce_memoryview(view: memoryview) -> Reduced:
    is_all = type(view.obj) is bytearray and view.contiguous and view.nbytes == len(view.obj)
    held = view.obj if is_all and not view.readonly else bytes(view) if view.readonly else bytearray(view)
    return make_memoryview, (held, view.format, view.shape)


def make_memoryview(held: bytes | bytearray, layout: str, shape: tuple[int, ...]) -> memoryview:
    """Rebuild a memory view over a copy of what it showed."""
    flat = memoryview(held)
    return flat.cast(layout, shape) if len(held) else flat.cast(layout)


def _reduce_memmap(array: Any) -> Reduced:
    import numpy as np

    return np.ndarray.__reduce_ex__(array.view(np.ndarray), 5)


# Exceptions are rebuilt by calling the class with `args`, which fails for an `__init__` of another signature.


def reduce_exception(error: BaseException) -> Reduced:
    """Take apart an exception whose class has an `__init__` in Python."""
    return make_exception, (type(error), error.args), dict(vars(error))


def make_exception(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """Rebuild an exception without calling the `__init__` that its user wrote."""
    error = cls.__new__(cls, *args)
    builtin = next(base for base in cls.__mro__ if not inspect.isfunction(base.__init__))
    builtin.__init__(error, *args)
    return error


def _wants_own_init(cls: type) -> bool:
    plain = cls.__reduce__ is BaseException.__reduce__ and cls.__reduce_ex__ is object.__reduce_ex__
    return issubclass(cls, BaseException) and plain and inspect.isfunction(cls.__init__)


# Tensors: torch pickles each into an archive inside the pickle, and two views of one storage come apart.


def _reduce_tensor(tensor: Any) -> Reduced:
    if not _is_plain(tensor):
        return NotImplemented
    view = (tensor.dtype, tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride()))
    kind = "parameter" if type(tensor).__name__ == "Parameter" else "tensor"
    args = (kind, tensor.untyped_storage(), view, tensor.requires_grad)
    return make_tensor, args, tensor.grad if tensor.is_leaf else None, None, None, set_grad


def _is_plain(tensor: Any) -> bool:
    import torch

    if (
        "numpy" not in sys.modules
        or tensor.layout is not torch.strided
        or tensor.device.type not in ("cpu", "cuda")
    ):
        return False
    special = tensor.is_quantized or tensor.is_nested or tensor.is_conj() or tensor.is_neg()
    named = any(getattr(tensor, "names", ()))
    return not (special or named or vars(tensor) or tensor._backward_hooks)


def make_tensor(kind: str, storage: Any, view: tuple[Any, ...], requires_grad: bool) -> Any:
    """Rebuild a tensor as a view of its storage."""
    import torch

    dtype, offset, shape, stride = view
    tensor = torch.empty(0, dtype=dtype).set_(storage, offset, shape, stride)
    if kind == "parameter":
        return torch.nn.Parameter(tensor, requires_grad)
    return tensor.requires_grad_(requires_grad)


def set_grad(tensor: Any, grad: Any) -> None:
    """Give a tensor its gradient."""
    tensor.grad = grad


def _reduce_storage(storage: Any) -> Reduced:
    import torch

    flat = torch.empty(0, dtype=torch.uint8).set_(storage.cpu())
    return make_storage, (pickle.PickleBuffer(flat.numpy()),)


def make_storage(held: Any) -> Any:
    """Rebuild the memory behind tensors in place, without a copy."""
    import torch

    if not len(held):
        return torch.UntypedStorage(0)
    return torch.frombuffer(held, dtype=torch.uint8).untyped_storage()


TABLE: Mapping[str, Callable[[Any], Reduced]] = {
    "builtins.code": reduce_code,
    "builtins.memoryview": _reduce_memoryview,
    "functools._lru_cache_wrapper": _reduce_cache,
    "functools.cached_property": _reduce_cached_property,
    "functools.singledispatchmethod": _reduce_dispatch_method,
    "typing.NewType": _reduce_new_type,
    "typing.ParamSpec": _reduce_variadic,
    "typing.TypeVarTuple": _reduce_variadic,
    "pathlib.PosixPath": _reduce_path,
    "pathlib.WindowsPath": _reduce_path,
    "pathlib._local.PosixPath": _reduce_path,
    "pathlib._local.WindowsPath": _reduce_path,
    "numpy.memmap": _reduce_memmap,
    "numpy.core.memmap.memmap": _reduce_memmap,
    "torch.Tensor": _reduce_tensor,
    "torch.nn.parameter.Parameter": _reduce_tensor,
    "torch.storage.UntypedStorage": _reduce_storage,
}
"""`module.Class` of exactly this type -> its reducer."""


def reducer_for(cls: type) -> Callable[[Any], Reduced] | None:
    """Return the special reducer of a type, or None when pickle does well by itself."""
    found = TABLE.get(f"{cls.__module__}.{cls.__qualname__}")
    if found is None and issubclass(cls, types.ModuleType):
        return cloudpickle._module_reduce
    return reduce_exception if found is None and _wants_own_init(cls) else found
