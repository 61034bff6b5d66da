from __future__ import annotations

import hashlib
import shutil

import pytest

from daemon.journal.archive import archive_journal
from daemon.journal.writer import JournalWriter
from daemon.venue.feeds.formats import ReadOptions
from replay.backtest import BacktestError
from replay.source import open_source
from replay.spec import BacktestSpec
from replay.times import TimesError
from schemas.events import InstrumentDefined, OperatorCommand
from tests.replay.recordings import SECOND, START, instrument, trade, write_csv, write_journal

COLUMNS = "ts=time@ms,price=price,quantity=quantity"


def spec(*data, **fields) -> BacktestSpec:
    return BacktestSpec(data=tuple(map(str, data)), strategy="none", **fields)


def events_of(spec) -> list:
    return [event for batch in open_source(spec).batches() for event in batch.events]


def seconds_of(spec) -> list[int]:
    return [(e.ts_ns - START) // SECOND for e in events_of(spec) if type(e) is not InstrumentDefined]


def reading(symbol="BTC-USDT") -> ReadOptions:
    return ReadOptions(symbol=symbol, venue="demo", columns=COLUMNS)


@pytest.fixture(scope="module")
def long_journal(tmp_path_factory):
    """Trades of 10,000 seconds in several segments, ten a frame; the instrument is defined twice."""
    data = tmp_path_factory.mktemp("long")
    frames = [[trade(n) for n in range(start, start + 10)] for start in range(0, 10_000, 10)]
    return write_journal(data, [instrument(), instrument()], *frames, small=True)


@pytest.fixture
def journal(data_folder):
    return write_journal(data_folder, [instrument()], [trade(n) for n in range(100)])


def test_a_data_folder_is_read_whole(journal):
    source = open_source(spec(journal))
    assert source.total == sum(len(batch.events) for batch in source.batches()) == 101
    assert source.position == source.total
    assert source.unit == "events"


def test_the_folder_of_segments_and_that_of_archives_may_be_named_themselves(long_journal, tmp_path):
    data = shutil.copytree(long_journal, tmp_path / "data")
    archive_journal(data / "journal")
    whole = events_of(spec(data))
    assert whole == events_of(spec(long_journal))
    assert events_of(spec(data / "journal")) == whole
    assert events_of(spec(data / "journal" / "archive")) == whole


def test_a_journal_is_read_while_it_is_written(data_folder):
    writer = JournalWriter.open(data_folder / "journal")
    writer.append([instrument(), trade(0)])
    source = open_source(spec(data_folder))
    writer.append([trade(1)])
    assert source.total == 2
    assert sum(len(batch.events) for batch in source.batches()) == 2
    writer.close()


def test_a_range_of_numbers_comes_with_the_definitions_from_before_it(long_journal):
    found = events_of(spec(long_journal, from_seq=5_003, to_seq=5_005))
    assert found == [instrument(), trade(5_000), trade(5_001), trade(5_002)]


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("first", [0, 1, 999, 2_559, 2_560, 5_000, 9_999])
def test_a_range_of_times_holds_the_ticks_of_that_time(long_journal, tmp_path, archived, first):
    data = long_journal
    if archived:
        data = shutil.copytree(long_journal, tmp_path / "data")
        archive_journal(data / "journal")
    last = min(9_999, first + 3)
    times = {"from_ns": START + first * SECOND, "to_ns": START + last * SECOND}
    assert seconds_of(spec(data, **times)) == list(range(first, last + 1))


def test_a_time_between_two_ticks_means_the_later_one_to_begin_with_and_the_earlier_one_to_end_with(journal):
    between = {"from_ns": START + 10 * SECOND + 1, "to_ns": START + 13 * SECOND - 1}
    assert seconds_of(spec(journal, **between)) == [11, 12]


def test_the_time_of_an_import_is_no_time_of_its_ticks(data_folder):
    later = START + 10**17
    mark = OperatorCommand(ts_ns=later, who="x", role="admin", command="import.start", arguments={})
    write_journal(data_folder, [mark], [instrument(), *(trade(n) for n in range(10))], [mark])
    ticks = [
        event for event in events_of(spec(data_folder, from_ns=START + 8 * SECOND)) if event.ts_ns < later
    ]
    assert ticks == [instrument(), trade(8), trade(9)]


def test_times_that_go_back_from_segment_to_segment_are_refused(data_folder):
    frames = [
        [trade(n) for n in range(start, start + 10)]
        for start in (*range(3_000, 6_000, 10), *range(0, 3_000, 10))
    ]
    write_journal(data_folder, [instrument()], *frames, small=True)
    with pytest.raises(TimesError, match="a time means no one place"):
        open_source(spec(data_folder, from_ns=START + SECOND))
    assert len(events_of(spec(data_folder, from_seq=100))) == 6_001 - 99 + 1


@pytest.mark.parametrize(
    "fields", [{"from_seq": 102}, {"from_ns": START + 100 * SECOND}, {"to_ns": START - 1, "from_seq": 2}]
)
def test_a_range_that_holds_nothing_is_told_with_what_there_is(journal, fields):
    with pytest.raises(BacktestError, match="nothing in the range asked for; the journal holds seq 1 to 101"):
        open_source(spec(journal, **fields))


def test_files_are_read_without_a_journal(tmp_path):
    path = write_csv(tmp_path / "trades.csv", [trade(n) for n in range(5_000)])
    source = open_source(spec(path, reading=reading()))
    found = [event for batch in source.batches() for event in batch.events]
    assert [type(event) is InstrumentDefined for event in found] == [True] + [False] * 5_000
    assert source.position == source.total == path.stat().st_size
    assert source.unit == "bytes"


def test_several_files_are_merged_by_time(tmp_path):
    header = "ts=time@ms,price=price,quantity=quantity"
    even = write_csv(tmp_path / "even.csv", [trade(n) for n in range(0, 6_000, 2)])
    odd = write_csv(tmp_path / "odd.csv", [trade(n) for n in range(1, 6_000, 2)])
    options = ReadOptions(symbol="BTC-USDT", venue="demo", columns=header)
    assert seconds_of(spec(odd, even, reading=options)) == list(range(6_000))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"from_seq": 3, "to_seq": 5}, [2, 3, 4]),
        ({"from_ns": START + 3 * SECOND, "to_ns": START + 5 * SECOND}, [3, 4, 5]),
        ({"from_ns": START + 3 * SECOND, "to_seq": 5}, [3, 4]),
    ],
)
def test_a_range_of_a_file_counts_its_ticks(tmp_path, fields, expected):
    path = write_csv(tmp_path / "trades.csv", [trade(n) for n in range(10)])
    assert seconds_of(spec(path, reading=reading(), **fields)) == expected


def test_a_journal_is_known_by_its_id_and_a_file_by_its_content(journal, tmp_path):
    path = write_csv(tmp_path / "trades.csv", [trade(n) for n in range(10)])
    identity = open_source(spec(path, reading=reading())).identity()
    assert identity.files[0].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    identity = open_source(spec(journal, from_seq=7)).identity()
    assert (len(identity.journal_id), identity.first_seq, identity.last_seq) == (32, 7, 101)


def test_a_folder_beside_a_file_is_refused(journal, tmp_path):
    path = write_csv(tmp_path / "trades.csv", [trade(0)])
    with pytest.raises(BacktestError, match="a folder beside other data"):
        open_source(spec(path, journal))
