"""A recorded run can be repeated and gives the same hash; else it is told what differs."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

import msgspec
import pytest

from daemon.journal.archive import archive_journal
from daemon.journal.listing import is_archived, list_journal
from daemon.journal.writer import JournalWriter
from replay.runs.catalogue import Catalogue, CatalogueError
from replay.runs.data_hash import data_sha256, range_sha256
from replay.runs.record import pinned
from replay.runs.recording import record
from replay.runs.repeat import repeat
from tests.replay.runs.conftest import append, ran, tape

SMALL = 1 << 16


def kept(run, catalogue=None):
    found = record(run, pytest.fail, catalogue=catalogue)
    assert found is not None
    return found


def test_a_run_over_a_journal_is_repeated_with_the_same_result(data):
    run = kept(ran(data))
    done = repeat(run, data)
    assert done.equal
    assert done.differences == []
    assert len(run.data_sha256) == 64


def test_a_journal_may_have_grown_and_moved_since(data, tmp_path):
    run = kept(ran(data, from_ns=1_700_000_050 * 10**9))
    journal = JournalWriter.open(data / "journal")
    append(journal, 300, begin=400)
    journal.close()
    moved = data.rename(tmp_path / "elsewhere")
    assert repeat(run, moved).equal
    with pytest.raises(Exception, match=r"no segment|cannot"):
        repeat(run)


def test_a_run_over_files_is_repeated_with_the_same_result(tmp_path):
    path = tmp_path / "BTCUSDT-trades-2025-01.csv"
    rows = [f"{n},{100 + n % 20},5,6,{1735689600000 + n * 1000},true,true" for n in range(200)]
    path.write_text("\n".join(rows))
    run = kept(ran(path), Catalogue(tmp_path / "runs.db"))
    assert run.identity.journal_id == ""
    assert repeat(run).equal
    path.write_text("\n".join(row.replace(",5,", ",3,") for row in rows))
    done = repeat(run)
    assert [text.partition(":")[0] for text in done.differences] == ["data"]


def test_other_code_and_another_interpreter_are_told(data):
    run = kept(ran(data))
    with (
        patch("replay.runs.repeat.code_of", return_value="f" * 64),
        patch("replay.runs.repeat.python_version", return_value="CPython 9.9"),
    ):
        done = repeat(run, data)
    assert done.equal
    assert [text.partition(":")[0] for text in done.differences] == ["code", "Python"]


def test_a_result_that_differs_for_no_known_reason_is_told_as_such(data):
    run = msgspec.structs.replace(kept(ran(data)), result_sha256="0" * 64)
    done = repeat(run, data)
    assert (done.equal, done.differences) == (False, [])


def test_another_journal_in_its_place_is_refused(data, tmp_path):
    run = kept(ran(data))
    other = tape(tmp_path / "other")
    with pytest.raises(CatalogueError, match="another journal"):
        repeat(run, other)


def test_events_that_were_altered_are_told(data, tmp_path):
    run = kept(ran(data))
    with patch("replay.runs.repeat.data_sha256", return_value="1" * 64):
        done = repeat(msgspec.structs.replace(run, result_sha256="0" * 64), data)
    assert [text.partition(":")[0] for text in done.differences] == ["data"]


def test_a_range_has_the_same_hash_when_the_journal_goes_on_rolls_and_is_archived(data_folder):
    directory = data_folder / "journal"
    journal = JournalWriter.open(directory, segment_bytes=SMALL)
    append(journal, 3_000)
    before = {bounds: range_sha256(directory, *bounds) for bounds in ((1, 3_001), (500, 2_500), (7, 9))}
    assert len(set(before.values())) == 3
    append(journal, 3_000, begin=3_000)
    journal.close()
    segments = list_journal(directory)
    assert len(segments) > 4
    archive_journal(directory)
    assert sum(is_archived(name) for name in list_journal(directory)) > 3
    for bounds, sha256 in before.items():
        assert range_sha256(directory, *bounds) == sha256


def test_events_that_are_gone_have_no_hash(data):
    run = ran(data)
    assert data_sha256(("/nowhere",), run.identity) == ""


def test_data_is_hashed_once_for_all_runs_over_it(data):
    kept(ran(data))
    with patch("replay.runs.recording.data_sha256", side_effect=AssertionError):
        again = kept(ran(data, parameters={"fast": 3, "slow": 5, "quantity": 1}))
    assert len(again.data_sha256) == 64


def test_a_pinned_spec_names_the_events_by_number(data):
    run = ran(data, from_ns=1_700_000_050 * 10**9)
    spec = pinned(run.spec, run.identity)
    assert (spec.from_seq, spec.to_seq, spec.from_ns) == (52, 401, None)


def test_catalogues_of_async_callers_work_too(data):
    async def twice():
        catalogue = Catalogue(data / "runs.db")
        run = ran(data)
        first, second = await asyncio.gather(catalogue.add(run), catalogue.add(run))
        return {first.number, second.number}

    assert asyncio.run(twice()) == {1, 2}
