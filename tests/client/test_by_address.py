"""A client on another machine: TCP to the gateway's address, and every frame through its relay."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_proxy import embedded
from kernel_proxy.errors import NotFound
from kernel_proxy.runtime import Runtime, connect
from kernel_proxy.session import Session
from kernel_proxy.settings import Settings
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import payload, versions
from tests.client.roads import texts
from tests.client.sweep import sweep

RETURNS = pb.Returns(name_limit_bytes=1 << 30, total_limit_bytes=1 << 30)
SIZE = 48 << 20


@pytest.fixture(scope="module")
def address() -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="wc-", dir="/tmp") as directory, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", directory)
        gateway, _ = embedded.start(embedded.Launch(Path(directory) / "state", imports="json"))
        yield Settings(url=gateway.http, token=gateway.token)
        sweep(directory)


@pytest.fixture
def runtime(address: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    monkeypatch.setattr(versions, "host_id", lambda: "another machine")
    reached = connect(address)
    assert reached._gateway().address.target.startswith("127.0.0.1:")
    yield reached
    for info in reached.describe().sessions:
        reached.release(info.session_id, force=True)
    reached.close()


@pytest.fixture
def session(runtime: Runtime) -> Session:
    return runtime.open("cpu", "nb", "nb.ipynb", {})


def run(session: Session, source: str, **values: object) -> list[pb.Event]:
    bundle = payload.pack(values, namespace={}).bundle if values else None
    return list(session.run(pb.Run(source=source, returns=RETURNS), bundle))


def test_large_values_travel_both_ways(session: Session) -> None:
    sent = os.urandom(SIZE)
    events = run(session, "back = sent[::-1]\nprint(len(sent))", sent=sent)
    assert "".join(texts(events)) == f"{SIZE}\n"
    assert session.fetch("back") == sent[::-1]
    with pytest.raises(NotFound):
        session.fetch("nothing")


def test_every_line_arrives_once_though_the_stream_is_cut_again_and_again(session: Session) -> None:
    source = "import time\nfor i in range(3000):\n    print(i)\n    if i % 30 == 0: time.sleep(0.01)"
    seen: list[pb.Event] = []
    for event in session.run(pb.Run(source=source, returns=RETURNS)):
        seen.append(event)
        if len(seen) % 10 == 0:
            session._attachment._cut()
    assert "".join(texts(seen)) == "".join(f"{i}\n" for i in range(3000))
    assert [e.end.status for e in seen if e.HasField("end")] == ["ok"]


def test_a_stream_that_is_cut_disturbs_no_other(runtime: Runtime, session: Session) -> None:
    other = runtime.open("cpu", "other", "nb.ipynb", {})
    steady = other._attachment._stream
    for _ in range(3):
        stream = session.run(pb.Run(source="print('up', flush=True)\nwhile True: pass", returns=RETURNS))
        next(e for e in stream if e.HasField("stream"))
        session._attachment._cut()
        session.interrupt(stream.run_id)
        assert [e.end.status for e in stream if e.HasField("end")] == ["interrupted"]
    assert "".join(texts(run(other, "print('here')"))) == "here\n"
    assert other._attachment._stream is steady


def test_an_interrupt_overtakes_an_upload(session: Session) -> None:
    bundle = payload.pack({"sent": os.urandom(SIZE)}, namespace={}).bundle
    stream = session.run(pb.Run(source="while True: pass", returns=RETURNS), bundle)
    session.interrupt(stream.run_id)
    assert [e.end.status for e in stream if e.HasField("end")] == ["interrupted"]
    assert "".join(texts(run(session, "print('next')"))) == "next\n"


def test_a_run_is_followed_by_another_client(runtime: Runtime, session: Session) -> None:
    stream = session.run(pb.Run(source="for i in range(3): print(i, flush=True)", returns=RETURNS))
    list(stream)
    again = runtime.open("cpu", "nb", "nb.ipynb", {}, must_exist=True)
    assert "".join(texts(again.follow(stream.run_id))) == "0\n1\n2\n"
    again.close()


def test_a_killed_user_process_ends_its_run_and_the_next_is_there(session: Session) -> None:
    events = run(session, "print('before', flush=True)\nimport os; os.kill(os.getpid(), 9)")
    assert "".join(texts(events)) == "before\n" and events[-1].end.status == "died"
    assert "".join(texts(run(session, "print('after')"))) == "after\n"
