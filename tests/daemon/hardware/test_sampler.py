"""The sensors' thread, and which samples are recorded."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from daemon.hardware.alarm import Alarm
from daemon.hardware.sampler import Recorder, Sampler
from daemon.hardware.sensors import SENSORS, Sample
from schemas.codec import CODEC

SECOND = 10**9


def sample(seconds, **readings):
    return Sample(dict.fromkeys(SENSORS) | {"throttled_bits": 0} | readings, None, round(seconds * SECOND))


def recorded(*samples, every_s=10.0):
    recorder = Recorder(every_s=every_s)
    return [one.read_ns / SECOND for one in samples if recorder.take(one, 1) is not None]


def wait_for(claim):
    end = time.monotonic() + 10
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.005)


# --- records ----------------------------------------------------------------------------------


def test_a_record_is_made_at_first_and_every_ten_seconds():
    assert recorded(*(sample(second, cpu_celsius=40.0 + second) for second in range(0, 31, 2))) == [
        0,
        10,
        20,
        30,
    ]


def test_what_changes_is_recorded_at_once():
    lost = sample(2, cpu_celsius=None)
    assert recorded(sample(0, cpu_celsius=40.0), lost, sample(4, cpu_celsius=40.0)) == [0, 2, 4]
    assert recorded(sample(0), sample(2, throttled_bits=4)) == [0, 2]
    assert recorded(sample(0, clock_synchronized=1), sample(2, clock_synchronized=0)) == [0, 2]


@given(
    st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 15), st.none() | st.floats(0, 99)), max_size=60)
)
def test_records_lie_a_second_apart_however_much_changes(steps):
    at_ms, samples = 0, []
    for after_ms, bits, cpu in steps:
        at_ms += after_ms
        samples.append(sample(at_ms / 1000, throttled_bits=bits, cpu_celsius=cpu))
    times = recorded(*samples)
    assert all(later - earlier >= 1 for earlier, later in pairwise(times))


def test_a_record_can_be_written():
    event = Recorder(every_s=10).take(sample(0, cpu_celsius=51.25, memory_bytes=2**63 - 1), 1)
    assert event.readings["cpu_celsius"] == 51.25
    CODEC.encode([event])


# --- the thread -------------------------------------------------------------------------------


def test_the_thread_takes_samples_until_it_is_stopped():
    taken = []

    def read():
        taken.append(None)
        return sample(len(taken))

    sampler = Sampler(read, every_s=0.01)
    assert sampler.latest is None
    sampler.start()
    wait_for(lambda: len(taken) > 3)
    sampler.stop(timeout_s=5)
    assert sampler.latest == sample(len(taken))


def test_a_read_that_hangs_leaves_the_last_sample_and_no_progress():
    hang, hung = threading.Event(), threading.Event()

    def read():
        if sampler.latest is not None:
            hung.set()
            hang.wait()
        return sample(1)

    sampler = Sampler(read, every_s=0.01)
    sampler.start()
    assert hung.wait(10)
    before = sampler.progress_ns
    sampler.stop(timeout_s=0.05)
    assert sampler.latest == sample(1)
    assert sampler.progress_ns == before
    hang.set()


def test_a_sampler_that_rests_for_long_is_seen_at_work(monkeypatch):
    sampler = Sampler(lambda: sample(1), every_s=60)
    sampler.start()
    before = sampler.progress_ns
    wait_for(lambda: sampler.progress_ns > before)
    sampler.stop(timeout_s=5)
    assert not sampler._thread.is_alive()


# --- alarms -----------------------------------------------------------------------------------


def test_an_alarm_sounds_until_it_is_acknowledged():
    alarm = Alarm()
    assert not alarm.troubled
    alarm.take(["12 MiB are free"])
    assert alarm.sounding
    alarm.acknowledge()
    assert alarm.troubled
    assert not alarm.sounding


def test_other_figures_are_no_new_alarm_and_another_trouble_is():
    alarm = Alarm()
    alarm.take(["12 MiB are free"])
    alarm.acknowledge()
    alarm.take(["9.5 MiB are free"])
    assert not alarm.sounding
    alarm.take(["9.5 MiB are free", "the fan stands still"])
    assert alarm.sounding


def test_trouble_that_goes_and_comes_back_sounds_again():
    alarm = Alarm()
    alarm.take(["the fan stands still"])
    alarm.acknowledge()
    alarm.take([])
    assert not alarm.troubled
    alarm.take(["the fan stands still"])
    assert alarm.sounding
