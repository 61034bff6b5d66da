"""How to reach a database: what is refused, and that nothing secret is in what is shown."""

from __future__ import annotations

import pytest

from daemon.sync.errors import SyncError
from daemon.sync.secret import VARIABLE, check_files, is_open_to_listeners, place_of, read_dsn
from daemon.sync.shipper import read_watermark


def read(dsn):
    return read_dsn(None, {VARIABLE: dsn})


@pytest.mark.parametrize(
    "password", ["4711/marker", "12?marker", "12?a=marker", "12#marker", "marker/1", "1@marker/x", "[marker"]
)
def test_a_password_that_would_end_in_host_or_database_is_refused_unshown(password):
    with pytest.raises(SyncError) as caught:
        read(f"postgresql://me:{password}@127.0.0.1:1/tape")
    assert "marker" not in str(caught.value)
    assert "%2F" in str(caught.value)


@pytest.mark.parametrize("dsn", ["postgresql:me:marker@host/x", "postgresql://me:x@host/x?marker"])
def test_what_is_no_connection_uri_is_refused_unshown(dsn):
    with pytest.raises(SyncError) as caught:
        read(dsn)
    assert "marker" not in str(caught.value)


@pytest.mark.parametrize(
    ("dsn", "place"),
    [
        ("postgresql://me:a%2Fb%40c@127.0.0.1/tape", "127.0.0.1:5432/tape"),
        ("postgresql:///tape?host=/var/run/postgresql", "/var/run/postgresql:5432/tape"),
        ("postgresql:///tape?host=nas&port=6000&user=me&password=x", "nas:6000/tape"),
        ("postgresql://nas?dbname=tape", "nas:5432/tape"),
        ("postgresql:///tape", "localhost:5432/tape"),
    ],
)
def test_the_place_is_where_the_connection_goes(dsn, place):
    assert place_of(read(dsn)) == place


@pytest.mark.parametrize(
    ("dsn", "is_open"),
    [
        ("postgresql:///tape?host=nas", True),
        ("postgresql:///tape?host=127.0.0.1,nas", True),
        ("postgresql:///tape?host=/run/postgresql", False),
        ("postgresql://nas/tape", True),
        ("postgresql://nas/tape?sslmode=verify-full", False),
        ("postgresql://localhost/tape", False),
    ],
)
def test_a_line_to_another_machine_is_known_wherever_the_host_stands(dsn, is_open):
    assert is_open_to_listeners(read(dsn)) is is_open


def test_a_certificate_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SyncError, match=r"sslrootcert=.*ca\.pem: No such file"):
        check_files(f"postgresql://nas/tape?sslmode=verify-full&sslrootcert={tmp_path}/ca.pem")


@pytest.mark.parametrize("option", ["sslmode=bogus", "target_session_attrs=x"])
async def test_options_that_cannot_be_are_refused_and_not_taken_for_an_absence(option):
    with pytest.raises(SyncError, match="the connection URI"):
        await read_watermark(f"postgresql://me:x@127.0.0.1/tape?{option}", "0" * 32)
