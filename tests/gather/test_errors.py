"""Every failure of the wire has a class here, and every error says what happened and what to do."""

from __future__ import annotations

import pickle

import pytest

from kernel_proxy import errors
from kernel_proxy.errors import CLASSES, RemoteError, RunTimeout, WarmcellError, from_failure
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import CODES, Failed


def test_every_code_of_the_wire_has_a_class() -> None:
    assert set(CODES) <= set(CLASSES)
    assert set(CLASSES) - set(CODES) == {"settings"}


def test_the_tree_at_the_top_of_the_file_is_the_tree() -> None:
    classes = {n for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, WarmcellError)}
    drawn = {line.split("+--")[-1].split()[0] for line in (errors.__doc__ or "").splitlines() if "+--" in line}
    assert drawn | {"WarmcellError", "HandleAttributeError"} == classes


@pytest.mark.parametrize(
    "failure",
    [pb.Failure(code="timeout", message="m", hint="h", detail={"a": "b"}), Failed("timeout", "m", "h", {"a": "b"})],
    ids=["message", "exception"],
)
def test_a_failure_becomes_its_class(failure: pb.Failure | Failed) -> None:
    error = from_failure(failure)
    assert type(error) is RunTimeout and isinstance(error, TimeoutError)
    assert (str(error), error.detail) == ("m\nhint: h", {"a": "b"})


def test_a_code_alone_will_do() -> None:
    assert type(from_failure("timeout", "m", "h")) is RunTimeout


def test_a_code_of_later_is_shown() -> None:
    assert str(from_failure("melted", "the GPU is gone", "buy one")) == "the GPU is gone (melted)\nhint: buy one"


def test_an_error_without_a_hint_has_one_line() -> None:
    assert str(WarmcellError("m")) == "m"


@pytest.mark.parametrize("cls", sorted({*CLASSES.values()}, key=lambda c: c.__name__))
def test_errors_pickle(cls: type[WarmcellError]) -> None:
    again = pickle.loads(pickle.dumps(cls("m", "h")))
    assert (type(again), again.message, again.hint) == (cls, "m", "h")


def test_a_remote_error_names_the_class_there() -> None:
    error = pickle.loads(pickle.dumps(RemoteError("no", "import it here", "lib.Broken")))
    assert str(error) == "lib.Broken: no\nhint: import it here"
