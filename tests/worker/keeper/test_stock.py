"""Contents that a real user process holds: told to every client, given instead of sent, refused once when gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest

from remote_runtime.wire import contents, frames, payload
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.stock import Stock
from tests.worker.keeper.conftest import zygote_in_folder
from tests.worker.keeper.link import REAL, Link, LiveKeeper, text_of

VALUE = np.arange(2 << 20, dtype=np.uint8)
BYTES = VALUE.nbytes
SOURCE = "\nprint(int(x[5]), len(x))"
LIMITS = pb.Returns(name_limit_bytes=1 << 20, total_limit_bytes=1 << 20)


@pytest.fixture
def keeper() -> Iterator[LiveKeeper]:
    with zygote_in_folder(REAL, "--imports", "numpy") as zygote:
        keeper = zygote.keeper()
        yield keeper
        keeper.close()


def send(client: Link, run_id: str, stock: Stock | None = None, source: str = SOURCE) -> list[pb.Content]:
    """Send a run that reads the value; return what its header tells."""
    bundle = payload.pack({"x": VALUE}, namespace={}).bundle
    told = contents.told(bundle, stock, shares=False)
    message = pb.ToWorker(request_id=client.next_id(), run=pb.Run(run_id=run_id, source=source, returns=LIMITS))
    message.run.bundle.contents.extend(told)
    spared, bundle_id = contents.spared(bundle, told), message.request_id
    follows = frames.announce(message.run.bundle, spared, bundle_id)
    client.raw(frames.control(message))
    for frame in frames.data(spared, bundle_id) if follows else ():
        client.raw(frame)
    return told


def heard(client: Link) -> Stock:
    """What the client is told next of contents."""
    stock = Stock()
    while not (message := client.get()).HasField("stock"):
        pass
    stock.take(message.stock)
    return stock


def welcomed(keeper: LiveKeeper) -> Stock:
    stock = Stock()
    stock.begin(keeper.client().welcome.stock)
    return stock


def test_all_clients_hear_of_it_before_the_run_ends_and_the_next_with_its_welcome(keeper: LiveKeeper) -> None:
    one, other = keeper.claim().client(), keeper.client()
    digest = send(one, "r1")[0].digest
    assert heard(one).holds(digest, BYTES) and heard(other).holds(digest, BYTES)
    assert one.end().status == "ok"
    stock = welcomed(keeper)
    assert send(other, "r2", stock)[0].held
    assert text_of(list(other.events("r2"))) == f"5 {BYTES}\n"


def test_a_run_whose_contents_are_gone_is_refused_and_may_come_again_under_its_id(keeper: LiveKeeper) -> None:
    client = keeper.claim().client()
    send(client, "r1")
    client.end()
    stock = welcomed(keeper)
    assert client.ask(free=pb.Free()).HasField("removed")
    assert send(client, "r2", stock)[0].held
    while not (message := client.get()).HasField("failure"):
        assert not message.HasField("event")
    assert message.failure.code == "evicted" and [run.run_id for run in keeper.info().runs] == ["r1"]
    send(client, "r2")
    assert text_of(list(client.events("r2"))) == f"5 {BYTES}\n"


def test_a_user_process_that_was_replaced_holds_nothing(keeper: LiveKeeper) -> None:
    client = keeper.claim().client()
    send(client, "r1")
    client.end()
    assert welcomed(keeper).has_size(BYTES)
    os.kill(keeper.info().pid, signal.SIGKILL)
    while not (message := client.get()).HasField("welcome"):
        pass
    assert not message.welcome.stock.added and not welcomed(keeper).has_size(BYTES)


def test_what_dies_or_does_not_fit_is_told_as_gone(keeper: LiveKeeper) -> None:
    client = keeper.claim(cache_bytes=BYTES - 1).client()
    send(client, "r1", source=f"{SOURCE}; del x")
    assert heard(client).has_size(BYTES)
    while not (message := client.get()).stock.gone:  # before the end or after it
        pass
    assert [content.size_bytes for content in message.stock.gone] == [BYTES]
    assert not welcomed(keeper).has_size(BYTES)


def test_a_header_that_tells_of_contents_wrongly_costs_its_run_alone(keeper: LiveKeeper) -> None:
    client = keeper.claim().client()
    message = pb.ToWorker(request_id=9, run=pb.Run(run_id="r1", source="\n1", returns=LIMITS))
    frames.announce(message.run.bundle, payload.pack({"x": 1}, namespace={}).bundle, 1)
    message.run.bundle.contents.add(digest=b"?", size_bytes=BYTES, buffer=3, held=True)
    client.raw(frames.control(message))
    end = client.end()
    assert (end.status, end.problem.code) == ("error", "protocol")
    assert client.run("\nprint(1)", "r2", returns=LIMITS).end("r2").status == "ok"
