from __future__ import annotations

import sqlite3
import stat

import pytest

from daemon.api.access import Access, AccessError, Role


async def test_the_first_start_makes_one_admin_token_that_only_its_owner_can_read(data_folder) -> None:
    access = await Access.open(data_folder)
    token = (data_folder / "admin.token").read_text().strip()
    identity = access.identify(token)
    assert identity is not None
    assert (identity.name, identity.role) == ("admin", Role.ADMIN)
    for name in ("admin.token", "access.db"):
        assert stat.S_IMODE((data_folder / name).stat().st_mode) == 0o600


async def test_the_database_holds_no_token_only_its_hash(data_folder) -> None:
    await Access.open(data_folder)
    token = (data_folder / "admin.token").read_bytes().strip()
    assert token not in (data_folder / "access.db").read_bytes()
    assert not (data_folder / "access.db-wal").exists()


async def test_a_second_start_keeps_the_token(data_folder) -> None:
    await Access.open(data_folder)
    before = (data_folder / "admin.token").read_text()
    access = await Access.open(data_folder)
    assert (data_folder / "admin.token").read_text() == before
    assert access.identify(before.strip()) is not None


async def test_a_lost_database_takes_up_the_token_in_the_file(data_folder) -> None:
    await Access.open(data_folder)
    token = (data_folder / "admin.token").read_text().strip()
    (data_folder / "access.db").unlink()
    access = await Access.open(data_folder)
    assert access.identify(token) is not None


async def test_a_token_file_that_others_can_read_is_refused(data_folder) -> None:
    (data_folder / "admin.token").write_text("x" * 43)
    (data_folder / "admin.token").chmod(0o644)
    with pytest.raises(AccessError, match="open to other users"):
        await Access.open(data_folder)


async def test_a_link_in_the_place_of_the_token_file_is_not_followed(data_folder, tmp_path) -> None:
    (data_folder / "admin.token").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AccessError):
        await Access.open(data_folder)
    assert not (tmp_path / "elsewhere").exists()


async def test_a_damaged_database_is_an_error_that_says_what_to_do(data_folder) -> None:
    (data_folder / "access.db").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(AccessError, match="delete it"):
        await Access.open(data_folder)


async def test_a_revoked_token_is_worth_nothing_at_once_and_after_a_restart(data_folder) -> None:
    access = await Access.open(data_folder)
    token = await access.create_token("bot", Role.TRADER)
    assert access.identify(token) is not None
    assert await access.revoke("bot")
    assert not await access.revoke("bot")
    assert access.identify(token) is None
    assert (await Access.open(data_folder)).identify(token) is None


async def test_a_name_is_given_once(data_folder) -> None:
    access = await Access.open(data_folder)
    with pytest.raises(AccessError, match="another name"):
        await access.create_token("admin", Role.VIEWER)


@pytest.mark.parametrize("token", ["", "x", "\x00", "\udcff", "é" * 43, "x" * 100_000])
async def test_what_is_no_token_identifies_nobody(data_folder, token) -> None:
    assert (await Access.open(data_folder)).identify(token) is None


async def test_the_database_is_readable_with_the_standard_library(data_folder) -> None:
    await Access.open(data_folder)
    with sqlite3.connect(data_folder / "access.db") as database:
        [(mode,)] = database.execute("PRAGMA journal_mode")
        [(count,)] = database.execute("SELECT count(*) FROM tokens WHERE length(hash) = 32")
    database.close()
    assert (mode, count) == ("delete", 1)
