"""A tape whose prices rise and fall, and a backtest of it."""

from __future__ import annotations

import pytest

from daemon.journal.writer import JournalWriter
from replay.recorder import Recorder
from replay.report import measure_recording
from replay.run import run_spec
from replay.runs.record import run_of
from replay.source import open_source
from replay.spec import BacktestSpec
from tests.daemon.readmodel.conftest import SECOND, START, instrument, trade

PARAMETERS = {"fast": 2, "slow": 4, "quantity": 1}


def tape(folder, trades=400, *, segment_bytes=1 << 20):
    """Write a data folder with a journal."""
    journal = JournalWriter.open(folder / "journal", segment_bytes=segment_bytes)
    append(journal, trades)
    journal.close()
    return folder


def append(journal, trades, *, begin=0):
    if begin == 0:
        journal.append([instrument(1)])
    prices = [10_000 + 100 * (n % 20 if n % 40 < 20 else 20 - n % 20) for n in range(begin, begin + trades)]
    events = [trade(START + (begin + n) * SECOND, price, 50_000) for n, price in enumerate(prices)]
    for start in range(0, len(events), 100):
        journal.append(events[start : start + 100])


@pytest.fixture
def data(data_folder):
    return tape(data_folder)


def ran(data, *, origin="backtest", note="", **choices):
    """Run a backtest over a data folder or files, and return it as a run."""
    fields = {"data": (str(data),), "strategy": "ma_cross", "parameters": PARAMETERS, **choices}
    spec = BacktestSpec(**fields)
    source = open_source(spec)
    recorder = Recorder()
    result = run_spec(spec, source=source, recorder=recorder)
    metrics = measure_recording(recorder.finish()).values
    return run_of(spec, source.identity(), result, metrics, now_ns=START, origin=origin, note=note)
