"""Told to stop, `run` ends within ten seconds: at work, at the start, in a hung call, and told twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.integration.worker import stops
from tests.integration.worker.stops import STOP_SECONDS_MAX, When, bench

#: Python only answers `stop`, in the way that the test says.
PROGRAM = """
import os, signal, sys, threading, time
from cli.signals import leave, stop_on_signals

def note(words):
    print(words, file=sys.stderr, flush=True)

with stop_on_signals(note, seconds={seconds}) as stop:
    print("ready", flush=True)
    {body}
leave(7)
"""
#: What ends by itself has as long as a busy machine takes.
SECONDS_MAX = 60
HANGS_SECONDS = 0.5
WAITS = "stop.wait()"
HANGS = "threading.Event().wait()"
#: The signal comes to another thread than the one that waits, as a kernel may choose.
ELSEWHERE = """
    def send(): signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    threading.Thread(target=send).start()
    stop.wait()
"""
#: The signal comes while the main thread is inside of the event, whose lock it holds.
INSIDE = """
    with stop._cond:
        os.kill(os.getpid(), signal.SIGTERM)
        time.monotonic()
    stop.wait()
"""
LINGERS = """
    threading.Thread(target=threading.Event().wait).start()
    stop.wait()
"""


def run(body: str, *signals: signal.Signals, seconds: float = SECONDS_MAX) -> tuple[int, str]:
    """The exit code and standard error of a program that is sent these signals once it is ready."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body, seconds=seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for number in signals:
            os.kill(process.pid, number)
        _, err = process.communicate(timeout=2 * SECONDS_MAX)
    return process.returncode, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_given_a_signal_then_the_block_ends_by_itself(number: signal.Signals) -> None:
    code, err = run(WAITS, number)
    assert (code, err) == (
        7,
        "Stopping: finishing what is under way, 60 s at most. Once more stops at once.\n",
    )


def test_given_a_signal_to_another_thread_then_the_main_thread_hears_of_it() -> None:
    assert run(ELSEWHERE)[0] == 7


def test_given_a_signal_inside_of_the_event_then_nothing_waits_for_its_lock() -> None:
    assert run(INSIDE)[0] == 7


def test_given_a_block_that_hangs_then_the_process_ends_in_time_and_says_so() -> None:
    code, err = run(HANGS, signal.SIGTERM, seconds=HANGS_SECONDS)
    assert code == 2
    assert "Stopped with something still under way; the next start finds out what became of it." in err


def test_given_a_thread_that_hangs_then_the_process_ends_without_it_and_keeps_its_code() -> None:
    assert run(LINGERS, signal.SIGTERM)[0] == 7


def test_given_a_second_signal_then_it_ends_at_once() -> None:
    body = """
    os.kill(os.getpid(), signal.SIGTERM)
    stop.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait()
    """
    assert run(body)[0] == 130


def test_given_nobody_who_reads_what_is_said_then_it_ends_all_the_same() -> None:
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            PROGRAM.format(body="print('x' * 2**20, file=sys.stderr)", seconds=HANGS_SECONDS),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=SECONDS_MAX) == 2


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_given_a_busy_machine_and_any_moment_then_run_has_ended_within_ten_seconds() -> None:
    assert stops.main(times=30, at_once=3) == 0


@pytest.mark.parametrize("when", [When.HUNG, When.WORK])
def test_given_a_worker_on_a_sandbox_then_it_ends_within_ten_seconds(when: When) -> None:
    with bench(seed=1) as made:
        result = made.try_once(when)

    assert result.seconds < STOP_SECONDS_MAX
    assert result.code == (2 if when is When.HUNG else 0)
