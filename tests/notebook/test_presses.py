"""Interrupts while a run is shown, with real signals."""

from __future__ import annotations

import os
import signal

import pytest

from jupyter_ext.interrupts import Presses


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_interrupts_the_second_kills_the_third_leaves() -> None:
    told: list[bool] = []
    with pytest.raises(KeyboardInterrupt), Presses(told.append):
        press()
        press()
        assert told == [False, True]
        press()
    assert told == [False, True]


def test_the_handler_that_was_there_is_back_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Presses(lambda kill: None):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
