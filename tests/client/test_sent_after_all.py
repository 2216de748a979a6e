"""A request that relied on contents which are gone there is sent once more, whole, and only once."""

from __future__ import annotations

import numpy as np
import pytest

from kernel_proxy.errors import TransferError
from kernel_proxy.exchange import Exchange
from kernel_proxy.parcels import Parcel
from remote_runtime.wire import contents, frames, payload
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.frames import Whole
from remote_runtime.wire.stock import Stock, stock_of

BUNDLE = payload.pack({"x": np.ones(2 << 20, np.uint8)}, namespace={}).bundle


@pytest.fixture
def stock() -> Stock:
    found = Stock()
    found.begin(stock_of(frozenset((told.digest, told.size_bytes) for told in contents.told(BUNDLE, None, False))))
    return found


def sent(parcel: Parcel, stock: Stock) -> tuple[pb.ToWorker, Bundle | None]:
    assembler, whole = frames.Assembler(pb.ToWorker), None
    for frame in parcel.frames(1, None, stock):
        whole = assembler.feed(frame)
    assert whole is not None
    return whole.message, whole.bundle


def refusal(parcel: Parcel) -> Whole[pb.FromWorker]:
    failure = pb.Failure(code="evicted", message="it is gone")
    return Whole(pb.FromWorker(request_id=parcel.message.request_id, failure=failure), None)


def test_it_is_whole_the_second_time_whatever_is_told_meanwhile(stock: Stock) -> None:
    exchange = Exchange(lambda notice: None, lambda event: None)
    parcel = Parcel(exchange.number(pb.ToWorker(put=pb.Put())), BUNDLE)
    answer = exchange.expect(parcel)
    message, bundle = sent(parcel, stock)
    assert message.put.bundle.contents[0].held and bundle is not None and bundle.size_bytes < 2 << 20
    assert (parcel.sent_bytes, parcel.spared_bytes) == (bundle.size_bytes, 2 << 20)
    assert list(exchange.take(refusal(parcel))) == [parcel] and not answer.ready()
    message, bundle = sent(parcel, stock)
    assert not message.put.bundle.contents[0].held and bundle is not None
    assert list(map(bytes, bundle.buffers)) == list(map(bytes, BUNDLE.buffers))
    assert (parcel.sent_bytes, parcel.spared_bytes) == (BUNDLE.size_bytes, 0)
    assert list(exchange.take(refusal(parcel))) == []
    with pytest.raises(TransferError, match="it is gone"):
        answer.result()


def test_until_it_is_sent_again_it_can_be_abandoned(stock: Stock) -> None:
    exchange = Exchange(lambda notice: None, lambda event: None)
    parcel = Parcel(exchange.number(pb.ToWorker(put=pb.Put())), BUNDLE)
    exchange.expect(parcel)
    sent(parcel, stock)
    assert not parcel.abandon()
    exchange.take(refusal(parcel))
    assert parcel.abandon() and list(parcel.frames(2, None, stock)) == []
