"""What comes after a run's end reaches those who followed it, each once and in order."""

from __future__ import annotations

import pytest

from remote_runtime.wire import messages_pb2 as pb
from tests.worker.keeper.conftest import Start
from tests.worker.keeper.link import Link, LiveKeeper, Refused, until


def speak(client: Link, word: str) -> None:
    """Let the user process print something for the run that has ended: it does so when handles are dropped."""
    client.send(drop=pb.Drop(tokens=[word]))


def late(client: Link) -> tuple[int, str]:
    while not (message := client.get()).HasField("event"):
        pass
    return message.event.seq, message.event.stream.text


@pytest.fixture
def keeper(start: Start) -> LiveKeeper:
    return start().claim()


def test_it_is_numbered_on_and_sent_at_once(keeper: LiveKeeper) -> None:
    client = keeper.client().run("channel.text('a')")
    assert [e.seq for e in client.events()] == [1, 2, 3]
    for seq, word in enumerate("xyz", 4):
        speak(client, word)
        assert late(client) == (seq, f"dropped ['{word}']")


def test_everyone_who_follows_gets_it(keeper: LiveKeeper) -> None:
    one = keeper.client().run("channel.text('a')")
    one.end()
    two = keeper.client()
    two.send(follow=pb.Follow(run_id="r1", after_seq=0))
    two.end()
    speak(one, "x")
    assert late(one) == late(two) == (4, "dropped ['x']")


def test_a_client_that_comes_back_gets_what_it_missed(keeper: LiveKeeper) -> None:
    client = keeper.client().run("channel.text('a')")
    client.end()
    speak(client, "x")
    assert late(client)[0] == 4
    client.close()
    other = keeper.client()
    speak(other, "y")
    other.send(follow=pb.Follow(run_id="r1", after_seq=4))
    assert late(other) == (5, "dropped ['y']")


def test_a_replay_from_the_start_goes_on_behind_the_end(keeper: LiveKeeper) -> None:
    client = keeper.client().run("channel.text('a')")
    client.end()
    speak(client, "x")
    late(client)
    again = keeper.client()
    again.send(follow=pb.Follow(run_id="r1", after_seq=0))
    assert [e.seq for e in again.events()] == [1, 2, 3] and late(again) == (4, "dropped ['x']")


def test_a_run_whose_log_is_gone_still_speaks_to_those_who_saw_its_end(keeper: LiveKeeper) -> None:
    client = keeper.client().run("channel.text('a')", keep_s=0.01)
    client.end()
    until(lambda: not keeper.info().runs, "the log to be forgotten")
    speak(client, "x")
    assert late(client) == (4, "dropped ['x']")
    with pytest.raises(Refused, match="no longer kept"):
        client.send(follow=pb.Follow(run_id="r1", after_seq=0))
        list(client.events())


def test_only_who_started_a_run_answers_it(keeper: LiveKeeper) -> None:
    client = keeper.client(client="mine").run("import time\ntime.sleep(20)").started()
    refused = keeper.client(client="other").ask(input=pb.Input(run_id="r1", text="no", ask_id=1))
    taken = keeper.client(client="mine").ask(input=pb.Input(run_id="r1", text="yes", ask_id=1))
    assert (refused.failure.code, taken.WhichOneof("body")) == ("not-found", "done")
    client.send(interrupt=pb.Interrupt(run_id="r1", kill=True))
    client.end()
    assert "has ended" in client.ask(input=pb.Input(run_id="r1", ask_id=1)).failure.message
