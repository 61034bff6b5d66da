"""Journal and database are compared, and the first difference has a name."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.sync import verify
from daemon.sync.canonical import jsonb_text
from daemon.sync.errors import SyncError
from daemon.sync.verify import Difference, compare
from schemas.events import ClockTicked, OperatorCommand
from tests.daemon.sync.conftest import T0, fetch, instrument, ship, trades, write


def execute(dsn, statement):
    async def do():
        connection = await asyncpg.connect(dsn)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(do())


def compared(dsn, directory, first=1, last=None):
    return asyncio.run(compare(dsn, directory, first, last))


@pytest.fixture
def directory(database, data_folder):
    """A shipped journal: an instrument, then 1,500 trades with a tick of the clock among them."""
    tick = ClockTicked(ts_ns=T0, synchronized=True)
    directory = write(data_folder, [instrument()], trades(1, 700), [tick], trades(701, 800))
    ship(directory, database)
    return directory


def test_what_was_shipped_is_the_same(database, directory):
    found = compared(database, directory)
    assert found.passed
    assert (found.first_seq, found.last_seq, found.events) == (1, 1502, 1502)
    assert found.rows == {"events": 1, "trades": 1500, "clock_ticks": 1}


def test_ranges_are_compared_by_themselves(database, directory, monkeypatch):
    monkeypatch.setattr(verify, "RANGE_EVENTS", 100)
    whole, part = compared(database, directory), compared(database, directory, 650, 760)
    assert whole.passed
    assert part.passed
    assert (part.events, part.rows["clock_ticks"]) == (111, 1)
    assert part.sha256 != whole.sha256


@pytest.mark.parametrize("few", [4, 5000])
def test_the_first_difference_is_named_with_both_values(database, directory, monkeypatch, few):
    monkeypatch.setattr(verify, "FEW", few)
    execute(database, "UPDATE taped.trades SET price = price + 5 WHERE seq IN (1000, 1200)")
    found = compared(database, directory)
    assert not found.passed
    assert found.difference == Difference(1000, "trades", "price", "998", "1003")


def test_a_missing_row_is_named(database, directory):
    execute(database, "DELETE FROM taped.clock_ticks")
    assert compared(database, directory).difference == Difference(
        702, "clock_ticks", "row", "there", "missing"
    )


def test_a_row_in_a_wrong_table_is_found(database, directory):
    execute(
        database,
        "INSERT INTO taped.clock_ticks SELECT journal, 10, ts, ts_ns, true FROM taped.trades WHERE seq = 10",
    )
    found = compared(database, directory)
    assert found.difference is None
    assert (found.strangers, found.passed) == (1, False)


def test_a_row_behind_the_watermark_is_found(database, directory):
    execute(
        database,
        "INSERT INTO taped.clock_ticks SELECT journal, 9999, ts, ts_ns, true FROM taped.trades WHERE seq = 9",
    )
    assert compared(database, directory).strangers == 1


def test_what_is_not_shipped_yet_is_no_difference(database, directory, data_folder):
    write(data_folder, trades(1501, 100))
    found = compared(database, directory)
    assert found.passed
    assert found.last_seq == 1502


def test_a_journal_the_database_does_not_know_is_told(database, tmp_path):
    with pytest.raises(SyncError, match="does not know journal"):
        compared(database, write(tmp_path / "other", trades(1, 3)))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def test_json_is_shown_as_postgresql_shows_it(database):
    shown = []

    @given(_JSON)
    def collect(value):
        text = json.dumps(value).replace("\\u0000", "\\u2400")
        # Half of a surrogate pair is no text, and no event has one.
        if "\\ud" not in text.lower():
            shown.append(text)

    collect()
    shown += ["1e400", "-0.0", "1.10", "1E-7", '{"bb":1,"a":2,"\u00e9":3}', '"\u007f\\u0001\\b/"']
    theirs = fetch(database, "SELECT value::jsonb::text FROM unnest($1::text[]) AS value", shown)
    assert [jsonb_text(text) for text in shown] == [text for (text,) in theirs]


def test_texts_cannot_be_confused_with_the_bars_between_fields(database, data_folder):
    one = OperatorCommand(ts_ns=T0, who="a|b", role="c", command="x")
    directory = write(data_folder, [one])
    ship(directory, database)
    assert compared(database, directory).passed
