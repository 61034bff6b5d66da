from __future__ import annotations

import inspect
import json

import msgspec

from replay.backtest import BacktestResult
from replay.document import BacktestDocument, average_price, document
from replay.measure import METRICS
from replay.recorder import Recorder, Recording
from replay.report import group_figures, measure_recording
from replay.run import run_spec
from replay.source import DataIdentity, open_source
from replay.spec import BacktestSpec
from tests.replay.recordings import instrument, trade, write_journal

SCHEMA = "schemas/backtest_report.schema.json"


def schema() -> dict:
    """Return the schema that the records are."""
    found = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **msgspec.json.schema(BacktestDocument),
    }
    for record in found["$defs"].values():
        # Interpreters from 3.13 on take the indentation of docstrings away themselves.
        record["description"] = inspect.cleandoc(record["description"])
    return json.loads(json.dumps(found))


def test_the_schema_file_is_that_of_the_records(project_root):
    written = json.loads((project_root / SCHEMA).read_text(encoding="utf-8"))
    assert written == schema(), f"write it anew: json.dumps(schema(), indent=1) into {SCHEMA}"


def test_the_document_of_a_run_is_as_the_schema_says(data_folder):
    write_journal(data_folder, [instrument()], [trade(n) for n in range(400)])
    spec = BacktestSpec(
        data=(str(data_folder),), strategy="ma_cross", parameters={"fast": 2, "slow": 4, "quantity": "3"}
    )
    source, recorder = open_source(spec), Recorder()
    result = run_spec(spec, source=source, recorder=recorder)
    recording = recorder.finish()
    body = document(spec, source.identity(), result, recording, measure_recording(recording, rounds=50))
    told = msgspec.json.decode(msgspec.json.encode(body), type=BacktestDocument)
    assert told.result_sha256 == result.result_sha256
    assert list(told.report.metrics) == list(METRICS)
    assert len(told.report.trips) == len(recording.trips) > 5
    assert told.report.trips[0].entry_price == "103"


def test_a_run_without_events_has_a_document_too():
    spec = BacktestSpec(data=("x",), strategy="none")
    body = document(
        spec,
        DataIdentity(first_seq=1, last_seq=0),
        BacktestResult(),
        Recording(),
        measure_recording(Recording()),
    )
    told = msgspec.json.decode(msgspec.json.encode(body), type=BacktestDocument)
    assert told.report.metrics["sharpe"] is None


def test_an_average_price_is_cut_four_digits_below_the_instruments_scale():
    assert average_price(2 * 10_000 + 10_001, 3, instrument()) == "100.003333"
    assert average_price(0, 0, instrument()) is None


def test_trips_are_told_apart_by_group_the_largest_first(data_folder):
    events = [instrument(1), instrument(2)]
    for n in range(400):
        events.append(trade(n))
        if n % 2:
            events.append(trade(n, instrument_id=2))
    write_journal(data_folder, events)
    spec = BacktestSpec(
        data=(str(data_folder),), strategy="ma_cross", parameters={"fast": 2, "slow": 4, "quantity": "3"}
    )
    recorder = Recorder()
    run_spec(spec, recorder=recorder)
    trips = recorder.finish().trips
    groups = group_figures(trips, lambda trip: trip.instrument)
    counts = [figures["trips"] for figures in groups.values()]
    assert set(groups) == {"I1@V", "I2@V"}
    assert sum(counts) == len(trips)
    assert counts == sorted(counts, reverse=True)
