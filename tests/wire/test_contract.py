"""The stubs agree with the .proto file, and versions are compared in words a reader understands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from remote_runtime.wire import failures, methods, versions
from remote_runtime.wire import messages_pb2 as pb

PROTO = Path(pb.__file__).with_name("messages.proto").read_text()


def declared() -> dict[str, dict[str, int]]:
    """Message name -> field name -> number, read from the .proto text."""
    text = re.sub(r"//[^\n]*", "", PROTO)
    blocks = re.finditer(r"message (\w+) \{((?:[^{}]|\{[^{}]*\})*)\}", text)
    field = re.compile(r"(?:[\w.]+|map<[^>]+>)\s+(\w+)\s*=\s*(\d+)\s*;")
    return {b.group(1): {n: int(i) for n, i in field.findall(b.group(2))} for b in blocks}


def test_the_stubs_are_generated_from_the_proto() -> None:
    generated = {
        name: {f.name: f.number for f in message.fields} for name, message in pb.DESCRIPTOR.message_types_by_name.items()
    }
    assert declared() == generated


@pytest.mark.parametrize("service", ["Gateway", "Worker"])
def test_the_method_table_is_the_proto_service(service: str) -> None:
    table = {"Gateway": methods.GATEWAY, "Worker": methods.WORKER}[service]
    block = re.search(rf"service {service} \{{(.*?)\n\}}", PROTO, re.S).group(1)
    assert set(re.findall(r"rpc (\w+)\(", block)) == set(table)
    described = pb.DESCRIPTOR.services_by_name[service].methods_by_name
    for name, method in described.items():
        assert table[name].request.DESCRIPTOR is method.input_type
        assert table[name].reply.DESCRIPTOR is method.output_type


def test_every_failure_code_says_what_it_means() -> None:
    assert all(re.fullmatch(r"[a-z-]+", code) and len(text) > 10 for code, text in failures.CODES.items())


def test_a_failure_reads_as_what_and_hint() -> None:
    assert str(failures.Failed("busy", "it is busy", "wait")) == "it is busy\nhint: wait"


def kernel(**changes: str) -> pb.Versions:
    base = pb.Versions(protocol=1, python="3.11.7", packages={"cloudpickle": "3.1.2", "numpy": "2.4.6"})
    for name, value in changes.items():
        if name == "python":
            base.python = value
        else:
            base.packages[name] = value
    return base


@pytest.mark.parametrize(
    ("worker", "blocking", "differing"),
    [
        (kernel(), (), ()),
        (kernel(python="3.11.2"), (), ()),
        (kernel(python="3.12.1"), ("python",), ()),
        (kernel(cloudpickle="2.2.1"), ("cloudpickle",), ("cloudpickle",)),
        (kernel(numpy="2.3.0"), (), ("numpy",)),
        (kernel(numpy="2.4.1"), (), ()),
        (kernel(torch="2.13.0"), (), ()),
    ],
)
def test_versions_that_matter_are_named(worker: pb.Versions, blocking: tuple, differing: tuple) -> None:
    assert versions.blocking(kernel(), worker) == blocking
    assert versions.differing(kernel(), worker) == differing


def test_a_mismatch_is_drawn_as_a_table() -> None:
    drawn = versions.table(kernel(), kernel(python="3.12.1"), ("python", "cloudpickle", "torch"))
    assert drawn.splitlines() == [
        "package      kernel  worker",
        "python       3.11.7  3.12.1",
        "cloudpickle  3.1.2   3.1.2",
        "torch        -       -",
    ]


def test_here_names_the_installed_packages() -> None:
    assert versions.here().packages["cloudpickle"] == versions.installed("cloudpickle")
