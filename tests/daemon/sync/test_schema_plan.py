"""Claims about what TimescaleDB adds: what is there is left alone, each edition gets what it can."""

from __future__ import annotations

import pytest

from daemon.sync.schema_features import Features, State, plan
from daemon.sync.schema_server import Edition, Server, version_of

BARS = {"bars_1min", "bars_1h", "bars_1day", "quote_bars_1min", "quote_bars_1h", "quote_bars_1day"}


def _sql(edition: Edition, features: Features | None = None, state: State | None = None) -> str:
    changes = plan(edition, features or Features(), state or State())
    return "\n".join(change.sql for change in changes)


def test_plain_postgresql_is_asked_nothing_it_does_not_know():
    sql = _sql(Edition.PLAIN)
    assert "time_bucket" not in sql
    assert "create_hypertable" not in sql
    assert "policy" not in sql


def test_the_apache_edition_gets_chunks_and_nothing_that_needs_a_licence():
    sql = _sql(Edition.APACHE)
    assert "create_hypertable('taped.trades'" in sql
    assert not any(word in sql for word in ("columnstore", "continuous", "policy"))


def test_ticks_are_cut_by_the_day_and_orders_by_the_week():
    chunks = {change.what for change in plan(Edition.APACHE, Features(), State())}
    assert {"trades: chunks of 1 day", "quotes: chunks of 1 day"} <= chunks
    assert {"order_events: chunks of 1 week", "fills: chunks of 1 week"} <= chunks


def test_plain_views_of_bars_make_room_for_those_that_keep_themselves():
    sql = _sql(Edition.COMMUNITY, state=State(bars=dict.fromkeys(BARS, False)))
    for name in BARS:
        assert sql.index(f"DROP VIEW taped.{name}_decimal") < sql.index(f"MATERIALIZED VIEW taped.{name}\n")


def test_bars_that_keep_themselves_stay_when_the_licence_goes():
    sql = _sql(Edition.APACHE, state=State(bars=dict.fromkeys(BARS, True)))
    assert "VIEW" not in sql


def test_a_table_that_is_cut_already_is_not_cut_again():
    assert "create_hypertable('taped.fills'" not in _sql(
        Edition.APACHE, state=State(chunked={"fills": False})
    )


def test_no_days_leave_chunks_as_rows_and_take_a_policy_back():
    sql = _sql(Edition.COMMUNITY, Features(columnstore_days=0), State(columnstore={"trades": 7}))
    assert "CALL remove_columnstore_policy('taped.trades')" in sql
    assert "add_columnstore_policy" not in sql


def test_ticks_are_removed_only_when_asked():
    assert "drop_after" not in _sql(Edition.COMMUNITY)
    sql = _sql(Edition.COMMUNITY, Features(keep_tick_days=30))
    assert sql.count("drop_after => interval '30 days'") == 2


def test_a_refresh_never_reaches_back_to_where_ticks_are_removed():
    sql = _sql(Edition.COMMUNITY, Features(keep_tick_days=30))
    assert "'taped.bars_1min', start_offset => interval '708 hours'" in sql
    assert "'taped.bars_1h', start_offset => NULL" in sql


def test_a_refresh_takes_the_whole_past_in_while_no_tick_is_removed():
    assert "'taped.bars_1min', start_offset => NULL" in _sql(Edition.COMMUNITY)


@pytest.mark.parametrize(
    ("installed", "licence", "edition"),
    [
        (None, None, Edition.PLAIN),
        ("2.18.0", "timescale", Edition.PLAIN),
        ("2.9.1", "timescale", Edition.PLAIN),
        ("2.18.1", "timescale", Edition.COMMUNITY),
        ("2.18.1", "apache", Edition.APACHE),
        ("2.30.0-dev", "timescale", Edition.COMMUNITY),
    ],
)
def test_a_version_that_loses_rows_counts_as_none(installed, licence, edition):
    assert Server(150020, installed, installed, licence).edition is edition


@pytest.mark.parametrize(
    ("server", "says"),
    [
        (Server(150020, None, None, None), "the server has no TimescaleDB"),
        (Server(150020, None, "2.28.3", None), "As a superuser: CREATE EXTENSION timescaledb"),
        (Server(150020, "2.17.2", "2.17.2", "timescale"), "Upgrade it to 2.18.1 or newer"),
        (Server(150020, "2.28.3", "2.28.3", "apache"), "in its Apache edition"),
    ],
)
def test_what_is_missing_is_one_warning_with_what_to_do(server, says):
    warning = server.warning()
    assert says in warning
    assert "run `taped sync init` again afterwards" in warning


def test_a_community_edition_is_not_warned_of():
    server = Server(150020, "2.28.3", "2.28.3", "timescale")
    assert server.warning() is None
    assert server.name == "PostgreSQL 15.20, TimescaleDB 2.28.3 (Community)"


def test_versions_compare_as_numbers():
    assert version_of("2.9.3") < version_of("2.18.1") < version_of("2.30.0-dev")
