"""A target that somebody else had in hand, and a clock that was wrong: nothing here is harmed or mistaken."""

from __future__ import annotations

import time

import pytest

from tests.tools.backup.conftest import tree
from tools.backup.errors import TargetError

DAY_NS = 86_400 * 10**9


@pytest.fixture
def outside(tmp_path):
    """A folder of this machine that is none of the target's."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "kept").write_text("kept")
    return folder


def test_a_link_in_place_of_unfinished_files_removes_nothing(data, target, taped, outside):
    (target / "partial").symlink_to(outside)
    with pytest.raises(TargetError, match="partial: is a link"):
        taped("create", data=data)
    assert [path.name for path in outside.iterdir()] == ["kept"]


@pytest.mark.parametrize("folder", ["", "objects", "backups"])
def test_a_link_in_place_of_a_folder_of_backups_is_not_followed(data, target, taped, outside, folder):
    name = taped.json("create", data=data)["journal"]
    place = target / name / folder
    place.rename(target.parent / "moved")
    place.symlink_to(outside)
    with pytest.raises(TargetError, match="is a link"):
        taped("create", "--prune", data=data)
    assert [path.name for path in outside.iterdir()] == ["kept"]


def test_a_clock_that_was_set_back_does_not_make_an_older_backup_the_newest(data, taped, monkeypatch):
    first = taped.json("create", data=data)["backup"]
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() - 3600 * 10**9)
    second = taped.json("create", data=data)["backup"]
    assert second > first


def test_a_backup_from_the_far_future_is_neither_followed_nor_taken_for_the_newest(
    data, taped, target, monkeypatch
):
    now = time.time_ns
    with monkeypatch.context() as wrong:
        wrong.setattr(time, "time_ns", lambda: now() + 1000 * DAY_NS)
        future = taped.json("create", data=data)["backup"]
    present = taped.json("create", data=data)["backup"]
    assert present < future
    assert taped.json("verify", data=data)["backup"] == present
    assert taped("prune", data=data) == 0
    rows = taped.json("list", data=data)["backups"]
    assert [row["name"] for row in rows] == [present, future]
    assert tree(target)
