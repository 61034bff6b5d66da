"""The power goes while segments become archives or are let go of: no event is lost that was there to stay.

Every call is tried, and at each every choice of which unsynced pieces, names and removals reached
the device.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from daemon.journal.archive import archive_journal
from daemon.journal.listing import is_archived, list_journal
from daemon.journal.reader import JournalReader
from daemon.journal.retention import Limits, Policy
from daemon.journal.verify import verify
from daemon.shorten import shorten
from tests.crash.journal.fault_disk import FaultDisk, PowerCut, lay_out
from tests.crash.journal.journals import assert_whole, open_tiny, read_facts, trades
from tests.daemon.journal.conftest import begin_with
from tests.daemon.test_shorten import OTHER_CODE, STREAM, record, state_at_end

SEGMENTS, EACH = 4, 3


@pytest.fixture(scope="module")
def sealed(tmp_path_factory) -> dict[Path, bytes]:
    """The files of a journal of four short segments, by their path below its folder."""
    folder = tmp_path_factory.mktemp("sealed") / "journal"
    with open_tiny(folder) as writer:
        for n in range(SEGMENTS):
            if n:
                writer._roll()
            writer.append(trades(writer.next_seq, EACH))
    return files_of(folder)


def files_of(folder: Path) -> dict[Path, bytes]:
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "LOCK"
    }


def laid_out(folder: Path, files: dict[Path, bytes]) -> FaultDisk:
    """Put the files there, all of them durable."""
    image = {folder / path: content for path, content in files.items()}
    lay_out(folder, image)
    disk = FaultDisk(folder)
    disk.adopt(image)
    return disk


def cuts(folder: Path, files: dict[Path, bytes], act):
    """Yield the disk after each call at which the power may go, the last one after all of them."""
    for cut_at in range(1000):
        disk = laid_out(folder, files)
        disk.cut_at = cut_at
        try:
            act(disk)
        except PowerCut:
            yield disk
        else:
            yield disk
            return


EVERYTHING = [(seq, 1) for seq in range(1, SEGMENTS * EACH + 1)]


def test_no_event_is_lost_at_any_cut_while_segments_are_archived(journal, sealed):
    tried: Counter[str] = Counter()
    for disk in cuts(journal, sealed, lambda disk: archive_journal(journal, disk=disk)):
        tried["cuts"] += 1
        for image in disk.images(limit=14):
            lay_out(journal, image)
            assert read_facts(journal) == EVERYTHING
            assert verify(journal).problems == []
            tried["images"] += 1
        archive_journal(journal)
        assert [is_archived(name) for name in list_journal(journal)] == [True, True, True, False]
        assert read_facts(journal) == EVERYTHING
        assert_whole(journal)
    assert tried["cuts"] > 25
    assert tried["images"] > 60


def test_at_any_cut_while_segments_go_the_journal_begins_where_it_did_or_at_its_base_state(journal, sealed):
    disk = laid_out(journal, sealed)
    archive_journal(journal, disk=disk)
    archived = files_of(journal)
    tried: Counter[int] = Counter()

    def let_go(disk: FaultDisk) -> None:
        begin_with(journal, list_journal(journal)[2], disk)

    for disk in cuts(journal, archived, let_go):
        for image in disk.images(limit=14):
            lay_out(journal, image)
            begins = JournalReader(journal).first_seq
            assert read_facts(journal, begins) == EVERYTHING[begins - 1 :]
            assert verify(journal).problems == []
            with open_tiny(journal) as writer:
                assert writer.next_seq == len(EVERYTHING) + 1
            tried[begins] += 1
    assert set(tried) == {1, 2 * EACH + 1}
    assert min(tried.values()) >= 4


def test_at_any_cut_while_it_is_shortened_a_start_knows_all_that_it_knew(tmp_path):
    data, chance = tmp_path / "data", random.Random(7)
    record(data, STREAM[:120], segments=3)
    expected, files = state_at_end(data), files_of(data)
    journal = data / "journal"
    inside = {
        path.relative_to("journal"): content for path, content in files.items() if path.parts[0] == "journal"
    }
    begins: Counter[int] = Counter()
    for disk in cuts(
        journal, inside, lambda disk: shorten(data, Policy(max_bytes=0), Limits(), now_ns=1, disk=disk)
    ):
        for share in (0.0, 1.0, 0.5, 0.5):
            kept = [chance.random() < share for _ in range(disk.unsynced())]
            lay_out(journal, disk.image(kept))
            assert state_at_end(data, OTHER_CODE) == expected
            assert verify(journal).problems == []
            begins[JournalReader(journal).first_seq] += 1
        shutil.rmtree(data / "snapshots", ignore_errors=True)
    assert len(begins) == 2
