"""Which texts name a place for backups, and which one."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.backup_target import DiskTarget, FolderTarget, HostTarget, TargetTextError, parse_target
from daemon.config import load
from daemon.config_values import ConfigError


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("/mnt/backup", FolderTarget(Path("/mnt/backup"))),
        ("backups/pi", FolderTarget(Path("backups/pi"))),
        ("LABEL=TAPED", DiskTarget("LABEL", "TAPED", PurePosixPath())),
        ("LABEL=My disk/a/b/", DiskTarget("LABEL", "My disk", PurePosixPath("a/b"))),
        ("UUID=1234-ABCD/pi", DiskTarget("UUID", "1234-ABCD", PurePosixPath("pi"))),
        ("ssh://pi@nas/srv/taped/", HostTarget("pi", "nas", 22, "/srv/taped")),
        ("ssh://nas.local:2222/~/taped", HostTarget("", "nas.local", 2222, "taped")),
        ("ssh://u@[fe80::1]/a%20b", HostTarget("u", "fe80::1", 22, "/a b")),
    ],
)
def test_a_target_is_read(text, target):
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "LABEL=",
        "LABEL=X/../y",
        "label=X",
        "PARTUUID=1",
        "ftp://nas/x",
        "s3://bucket",
        "ssh://nas",
        "ssh://nas/",
        "ssh:///x",
        "ssh://user:secret@nas/x",
        "ssh://-oProxyCommand=x/y",
        "ssh://-x@nas/y",
        "ssh://nas:0x1/y",
        "ssh://nas:99999/y",
        "ssh://nas/~/-x",
        "ssh://nas/a%0Ab",
        "ssh://nas/x?y",
    ],
)
def test_what_names_no_place_is_refused_before_anything_runs(text):
    with pytest.raises(TargetTextError):
        parse_target(text)


@given(st.text(max_size=60))
def test_any_text_is_a_target_or_refused(text):
    try:
        parse_target(text)
    except TargetTextError:
        return


def test_settings_are_refused_where_target_or_recipient_are_none():
    with pytest.raises(ConfigError, match="expected a place for backups, such as /mnt/backup"):
        load(None, {}, {"backup.target": "s3://bucket"})
    with pytest.raises(ConfigError, match="expected a public key of age"):
        load(None, {}, {"backup.recipient": "AGE-SECRET-KEY-1"})
    assert load(None, {}, {"backup.target": "LABEL=TAPED"}).settings.backup.target == "LABEL=TAPED"
