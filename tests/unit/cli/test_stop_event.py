"""Events that follow the one that stops giftsync."""

from __future__ import annotations

import threading

from cli.served import Restart
from cli.signals import StopEvent


def test_given_a_stop_then_the_round_under_way_ends_and_so_does_a_later_one() -> None:
    stop, restart = StopEvent(), Restart()

    with restart.round(stop) as ends:
        assert not ends.is_set()
        stop.set()
        assert ends.is_set()
    with restart.round(stop) as ends:
        assert ends.is_set()
    assert not restart.wanted


def test_given_a_new_beginning_then_only_the_round_ends() -> None:
    stop, restart, threads = StopEvent(), Restart(), threading.active_count()

    with restart.round(stop) as ends:
        restart.begin()
        assert ends.is_set()
        assert threading.active_count() == threads

    assert restart.wanted
    assert not stop.is_set()
    stop.set()


def test_given_a_round_that_is_over_then_a_stop_does_not_reach_it() -> None:
    stop, restart = StopEvent(), Restart()

    with restart.round(stop) as ends:
        pass
    ends.clear()
    stop.set()

    assert not ends.is_set()
