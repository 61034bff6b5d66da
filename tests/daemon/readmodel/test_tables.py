"""Rows of a read model go into another one by the names of tables and columns."""

from __future__ import annotations

import msgspec
import pytest

from daemon.readmodel.content import content_hash
from daemon.readmodel.database import ReadModelError
from daemon.readmodel.writer import ReadModelWriter
from tests.daemon.readmodel.conftest import JOURNAL, busy_stream

STREAM = busy_stream(4, 300).stream
CUT = 180


@pytest.fixture
def parts(tmp_path):
    """The rows after `CUT` events."""
    writer = ReadModelWriter(tmp_path / "first.db", JOURNAL)
    writer.apply(1, STREAM[:CUT])
    found = list(writer.dump(ticks_from=7))
    writer.close()
    return found


@pytest.fixture
def fresh(tmp_path):
    writer = ReadModelWriter(tmp_path / "fresh.db", JOURNAL)
    yield writer
    writer.close()


def changed(parts, table, change):
    """Return the parts with the columns and rows of one table as `change` leaves them."""
    found = []
    for part in parts:
        name, columns, rows = msgspec.msgpack.decode(part)
        if name == table:
            name = change(columns, rows) or name
        found.append(msgspec.msgpack.encode((name, columns, rows)))
    return found


def drop(column):
    def change(columns, rows):
        place = columns.index(column)
        del columns[place]
        for row in rows:
            del row[place]

    return change


def add(column):
    def change(columns, rows):
        columns.append(column)
        for row in rows:
            row.append(1)

    return change


def test_a_filled_read_model_is_the_one_it_was_made_of_and_goes_on_as_it_would_have(parts, fresh, tmp_path):
    fresh.seed(parts)
    assert (fresh.applied_seq, fresh.ticks_from) == (CUT, 7)
    assert fresh.content_hash() == content_hash(tmp_path / "first.db")
    fresh.apply(CUT + 1, STREAM[CUT:])
    whole = ReadModelWriter(tmp_path / "whole.db", JOURNAL)
    whole.apply(1, STREAM)
    assert fresh.content_hash() == whole.content_hash()
    whole.close()


def test_the_search_index_is_made_again(parts, fresh):
    fresh.seed(parts)
    found = fresh._connection.execute(
        "SELECT count(*) FROM events_text WHERE events_text MATCH 'deposit'"
    ).get
    assert found > 0
    fresh._connection.execute("INSERT INTO events_text (events_text, rank) VALUES ('integrity-check', 1)")


def test_the_order_of_columns_does_not_matter(parts, fresh, tmp_path):
    def reverse(columns, rows):
        columns.reverse()
        for row in rows:
            row.reverse()

    fresh.seed(changed(parts, "orders", reverse))
    assert fresh.content_hash() == content_hash(tmp_path / "first.db")


def test_a_column_that_was_not_there_yet_is_what_the_schema_gives(parts, fresh):
    fresh.seed(changed(parts, "orders", drop("reason")))
    assert fresh.applied_seq == CUT
    assert not fresh._connection.execute("SELECT count(*) FROM orders WHERE reason IS NOT NULL").get
    assert fresh._connection.execute("SELECT count(*) FROM orders").get > 0


@pytest.mark.parametrize(
    ("table", "change", "why"),
    [
        ("orders", drop("quantity"), "table 'orders' lacks column 'quantity'"),
        ("orders", add("margin"), r"table 'orders' has a column 'margin'.*upgrade taped"),
        ("account", lambda columns, rows: "wallets", r"table 'wallets' is not known.*upgrade taped"),
        ("meta", lambda columns, rows: rows.append(["mode", 1]), "meta has 'mode'"),
        (
            "meta",
            lambda columns, rows: rows.append(["journal_id", "ff" * 16]),
            f"rows of journal {'ff' * 16}, this one is {JOURNAL}",
        ),
        ("orders", lambda columns, rows: rows[0].clear(), "fill"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name_and_the_file_stays_empty(parts, fresh, table, change, why):
    with pytest.raises(ReadModelError, match=why):
        fresh.seed(changed(parts, table, change))
    fresh.apply(1, STREAM)
    assert fresh.applied_seq == len(STREAM)


def test_bytes_that_are_no_rows_are_refused(parts, fresh):
    for part in (b"", b"\xc1", msgspec.msgpack.encode(["orders", [1], []]), msgspec.msgpack.encode(5)):
        with pytest.raises(ReadModelError, match="not rows"):
            fresh.seed([*parts, part])
    fresh.seed(parts)


def test_rows_kept_under_a_higher_limit_are_cut_to_the_files_own(tmp_path, monkeypatch):
    monkeypatch.setattr("daemon.readmodel.writer.PRUNE_EVERY", 10)
    limits = {"wide": 100, "narrow": 40, "filled": 40}
    models = [ReadModelWriter(tmp_path / name, JOURNAL, keep_ticks=keep) for name, keep in limits.items()]
    wide, narrow, filled = models
    for model in (wide, narrow):
        model.apply(1, STREAM[:CUT])
    filled.seed(list(wide.dump()))
    assert filled.content_hash() == narrow.content_hash()
    for model in models:
        model.close()
