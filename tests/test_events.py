"""The event log keeps order, is bounded, and wakes who waits."""

from __future__ import annotations

import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from axon_shell.events import EventLog


@given(st.integers(0, 30), st.integers(1, 10), st.integers(1, 7))
def test_pulling_gives_everything_in_order(count, kept, limit):
    log = EventLog(kept)
    seen, after, lost = [], 0, False
    for number in range(count):
        log.put({"n": number})
        if number % 3 == 0:
            pulled = log.after(after, limit, 0)
            lost |= pulled["missed"]
            seen += pulled["events"]
            after = pulled["last"]
    while (pulled := log.after(after, limit, 0))["events"]:
        lost |= pulled["missed"]
        seen += pulled["events"]
        after = pulled["last"]
    numbers = [event["n"] for event in seen]
    assert numbers == sorted(set(numbers))
    assert lost or numbers == list(range(count))
    assert all(event["seq"] == event["n"] + 1 for event in seen)


def test_a_number_of_an_earlier_run_is_told():
    log = EventLog()
    log.put({"n": 0})
    assert log.after(99, 10, 0) == {"events": [{"n": 0, "seq": 1}], "last": 1, "missed": True}


def test_whoever_waits_is_woken_by_an_event_and_by_closing():
    log = EventLog()
    for wake in (lambda: log.put({"n": 1}), log.close):
        threading.Timer(0.05, wake).start()
        began = time.monotonic()
        log.after(log.last, 10, 20)
        assert time.monotonic() - began < 5
