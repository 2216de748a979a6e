"""What a keeper counts of its session: how long it is held, how long runs were active, what its run may still take."""

from __future__ import annotations

import pytest

from tests.worker.keeper.conftest import Start
from tests.worker.keeper.link import until

WAIT = "channel.text('on'); signal.pause()"


def test_nothing_is_counted_before_the_claim(start: Start) -> None:
    info = start().info()
    assert not any(info.HasField(field) for field in ("held_s", "busy_s", "run_left_s"))


def test_runs_are_counted_and_what_is_between_them_is_not(start: Start) -> None:
    keeper = start().claim()
    client = keeper.client()
    assert keeper.info().busy_s == 0
    client.run(WAIT).until_text("on")
    active = keeper.info()
    until(lambda: keeper.info().busy_s > active.busy_s > 0, "a run that is counted while it lasts")
    client.send(interrupt={"run_id": "r1"})
    client.end()
    idle = keeper.info()
    until(lambda: keeper.info().held_s > idle.held_s, "the clock")
    assert keeper.info().busy_s == idle.busy_s < idle.held_s
    assert idle.busy_s == pytest.approx(idle.runs[0].elapsed_s, abs=0.5)


def test_a_forgotten_run_stays_counted(start: Start) -> None:
    keeper = start(tick_s=0.02).claim()
    client = keeper.client()
    client.run("import time; time.sleep(0.02)", keep_s=0.05).end()
    counted_s = keeper.info().busy_s
    until(lambda: not keeper.info().runs, "the run to be forgotten")
    assert keeper.info().busy_s == counted_s >= 0.02


def test_only_the_limit_of_a_run_without_company_is_told(start: Start) -> None:
    keeper = start().claim()
    client = keeper.client()
    client.run(WAIT, timeout_s=500).until_text("on")
    assert 0 < keeper.info().run_left_s <= 500
    client.run("pass", "r2")
    until(lambda: len(keeper.info().runs) == 2, "the second run")
    assert not keeper.info().HasField("run_left_s")
    client.send(interrupt={"run_id": "r1"})
    client.end("r2")
    assert not keeper.info().HasField("run_left_s")
