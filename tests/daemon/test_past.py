"""The past: behind any event core and venue are as they were, whatever state the way begins with."""

from __future__ import annotations

import random

import pytest

from daemon.journal.reader import JournalReader
from daemon.journal.writer import JournalWriter
from daemon.past import PastError, past
from daemon.snapshots import KEEP, Snapshots, load_newest, prune, save, sequences
from daemon.trading.core import Core
from daemon.venue.paper import PaperVenue
from daemon.venue.paper.dump import dump as dump_venue
from daemon.venue.paper.dump import state
from daemon.venue.paper.follow import Follower
from schemas.events import OrderType, Side
from tests.daemon.test_snapshots import CODE
from tests.daemon.trading.conftest import Desk, deposit, instrument, order, quote, trade


def stream(count: int, journal_id: str, seed: int = 1) -> list:
    """Return a market with orders of every age: some work for long, some are over at once."""
    chance, desk = random.Random(seed), Desk(Core(journal_id))
    desk.take(instrument(1), instrument(2), deposit())
    for n in range(1, count):
        which, price = chance.choice((1, 2)), 10_000 + chance.randint(-50, 50)
        desk.take(quote(price - 2, price + 2, instrument_id=which, ts_ns=n))
        desk.take(trade(price, instrument_id=which, ts_ns=n))
        if n % 7 == 0:
            side = chance.choice((Side.BUY, Side.SELL))
            limit = {"price": price - 30, "order_type": OrderType.LIMIT} if n % 2 else {}
            desk.take(order(side, 3, instrument_id=which, ts_ns=n, **limit))
    return desk.merged


@pytest.fixture
def recorded(data_folder):
    """A journal of several segments, and its events."""
    with JournalWriter.open(data_folder / "journal", segment_bytes=1 << 18) as writer:
        events = stream(1500, writer.journal_id)
        for at in range(0, len(events), 31):
            writer.append(events[at : at + 31])
    return data_folder, events


def truth(data, events, seq):
    journal = JournalReader(data / "journal")
    follower = Follower(Core(journal.journal_id), PaperVenue())
    follower.follow(1, events[:seq])
    return follower


def same(found, follower):
    core = found.core.state() == follower.core.state()
    return core and state(found.venue) == state(follower.venue)


def test_behind_any_event_core_and_venue_are_as_they_were(recorded):
    data, events = recorded
    for seq in (1, 2, 40, 999, len(events) // 2, len(events) - 1, len(events)):
        found = past(data, seq, code_hash=CODE)
        assert same(found, truth(data, events, seq)), seq
        assert (found.from_seq, found.origin) == (0, "the beginning")


def test_before_the_first_event_nothing_was_known(recorded):
    assert past(recorded[0], 0, code_hash=CODE).core.instruments == {}


def test_a_look_begins_with_the_nearest_snapshot_before_it(recorded, monkeypatch):
    data, events = recorded
    monkeypatch.setattr("daemon.snapshots.KEEP", 100)
    for seq in (500, 1500, 2500):
        follower = truth(data, events, seq)
        snapshots = Snapshots(data, CODE, venue_state=lambda venue=follower.venue: dump_venue(venue))
        assert snapshots.write(snapshots.take(follower.core))
    for seq, begins in ((499, 0), (500, 500), (1600, 1500), (2499, 1500), (2900, 2500)):
        found = past(data, seq, code_hash=CODE)
        assert found.from_seq == begins
        assert same(found, truth(data, events, seq)), seq


def test_a_snapshot_of_other_code_is_good_for_looks_only(recorded):
    data, events = recorded
    save(data, truth(data, events, 1000).core, "d" * 64)
    assert past(data, 1200, code_hash=CODE).from_seq == 0
    found = past(data, 1200, code_hash=CODE, any_code=True, keep=True, every=10)
    assert (found.from_seq, found.origin) == (1000, "the snapshot of other code at seq 1,000")
    assert found.core.state() == truth(data, events, 1200).core.state()
    # What is made of it is not passed off as a state of this code.
    assert past(data, 1200, code_hash=CODE).from_seq == 0


def test_a_damaged_snapshot_costs_the_look_time_and_nothing_else(recorded):
    data, events = recorded
    save(data, truth(data, events, 1000).core, CODE)
    (path,) = (data / "snapshots").glob("*.snap")
    path.write_bytes(path.read_bytes()[:-3])
    found = past(data, 1200, code_hash=CODE, any_code=True)
    assert found.from_seq == 0
    assert same(found, truth(data, events, 1200))


def test_a_long_look_leaves_states_that_the_next_one_begins_with(recorded):
    data, events = recorded
    finished = max(int(path.name[11:31]) for path in (data / "journal").glob("*.evl")) - 1
    past(data, len(events), code_hash=CODE, keep=True, every=400)
    assert sequences(data) == []
    for seq in (450, 1000, finished):
        found = past(data, seq, code_hash=CODE, keep=True, every=400)
        assert 0 < found.from_seq <= seq < found.from_seq + 2 * 400 + 62
        assert same(found, truth(data, events, seq)), seq
    # What is being written may yet be lost, and its numbers given to other events.
    kept = [int(path.stem) for path in (data / "snapshots" / "past").glob("*.snap")]
    assert max(kept) <= finished


def test_a_start_removes_states_that_lie_beyond_the_journals_end(recorded):
    data, events = recorded
    past(data, len(events), code_hash=CODE, keep=True, every=400)
    journal_id = JournalReader(data / "journal").journal_id
    load_newest(data, journal_id, CODE, 900)
    assert {int(path.stem) <= 900 for path in (data / "snapshots" / "past").glob("*.snap")} == {True}


def test_a_look_at_a_folder_that_cannot_be_written_leaves_nothing(recorded):
    data, events = recorded
    (data / "snapshots").write_text("no folder")
    assert past(data, len(events), code_hash=CODE, keep=True, every=400).seq == len(events)


def test_a_look_beyond_the_end_is_refused(recorded):
    data, events = recorded
    with pytest.raises(PastError, match="ends at seq"):
        past(data, len(events) + 1, code_hash=CODE)


def ladder(folder, seqs, size=100):
    folder.mkdir(exist_ok=True)
    for seq in seqs:
        (folder / f"{seq:020d}.snap").write_bytes(b"x" * size)


def rungs(folder):
    return sorted(int(path.stem) for path in folder.glob("*.snap"))


def test_a_ladder_keeps_what_leaves_a_gap_without_it(tmp_path):
    folder = tmp_path / "snapshots"
    ladder(folder, [100, 130, 200, 205, 300, 400, 500, 501, 502])
    prune(folder, 502, every=100)
    # The neighbours of 130 and of 205 are near enough; the newest three stay in any case.
    assert rungs(folder) == [100, 200, 300, 400, 500, 501, 502]


def test_a_ladder_beyond_its_bytes_is_thinned_evenly(tmp_path):
    folder = tmp_path / "snapshots"
    ladder(folder, range(100, 2001, 100))
    prune(folder, 2000, every=50, most_bytes=1000)
    kept = rungs(folder)
    assert len(kept) == 10
    assert kept[-KEEP:] == [1800, 1900, 2000]
    assert max(b - a for a, b in zip([0, *kept], kept, strict=False)) <= 400


def test_rungs_from_before_the_journals_beginning_or_behind_its_end_go(tmp_path):
    folder = tmp_path / "snapshots"
    ladder(folder, [100, 200, 300, 400, 500, 900])
    prune(folder, 500, every=50, first_seq=201)
    assert rungs(folder) == [200, 300, 400, 500]
