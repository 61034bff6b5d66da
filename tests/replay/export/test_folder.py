"""A folder of tables appears whole or not at all, and never in the place of something else."""

from __future__ import annotations

import pytest

from replay.export.folder import MANIFEST, new_folder
from replay.export.market import ExportError


def write(out, *, force=False, text="new"):
    with new_folder(out, force=force) as folder:
        (folder / MANIFEST).write_text(text)


def test_a_folder_takes_its_place_when_it_is_whole(tmp_path):
    out = tmp_path / "deep" / "out"
    with new_folder(out, force=False) as folder:
        (folder / MANIFEST).write_text("x")
        assert not out.exists()
    assert (out / MANIFEST).read_text() == "x"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_folder_that_fails_leaves_nothing_and_the_old_one_as_it_was(tmp_path):
    out = tmp_path / "out"
    write(out, text="old")
    with pytest.raises(FileNotFoundError), new_folder(out, force=True) as folder:
        (folder / "nowhere" / MANIFEST).write_text("half")
    assert (out / MANIFEST).read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_export_is_replaced_only_when_that_is_asked_for(tmp_path):
    out = tmp_path / "out"
    write(out, text="old")
    with pytest.raises(ExportError, match="give --force"):
        write(out)
    write(out, force=True)
    assert (out / MANIFEST).read_text() == "new"


@pytest.mark.parametrize("names", [["thesis.txt", MANIFEST], ["ticks.csv"]])
def test_a_folder_that_is_no_export_is_never_replaced(tmp_path, names):
    out = tmp_path / "out"
    out.mkdir()
    for name in names:
        (out / name).write_text("mine")
    with pytest.raises(ExportError, match="is no export and is not replaced"):
        write(out, force=True)
    assert sorted(path.name for path in out.iterdir()) == sorted(names)


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "out").mkdir()
    write(tmp_path / "out")
    assert (tmp_path / "out" / MANIFEST).exists()


def test_a_file_and_a_link_are_never_replaced(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        with pytest.raises(ExportError, match="is no folder"):
            write(tmp_path / name, force=True)
