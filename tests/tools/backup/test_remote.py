"""Backups on another host: a real sshd on 127.0.0.1 with keys of its own, and rsync."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from daemon.backup_state import read_state
from daemon.backup_target import HostTarget
from tests.tools.backup.conftest import Taped, tree
from tools.backup import remote
from tools.backup.errors import BackupError, DamagedBackupError, TargetError
from tools.backup.remote import HostStore

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = pytest.mark.skipif(
    SSHD is None or any(shutil.which(name) is None for name in ("rsync", "ssh", "ssh-keygen")),
    reason="sshd, ssh and rsync are not all installed",
)


class Server(NamedTuple):
    port: int
    key: Path
    known_hosts: Path
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An sshd for this user, with a key that it knows and that knows it."""
    folder = tmp_path_factory.mktemp("sshd")
    folder.chmod(0o700)
    for name in ("host", "client"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name]
        subprocess.run(command, check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder / 'host'}\nPidFile none\n"
        f"AuthorizedKeysFile {folder / 'client.pub'}\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
        "PasswordAuthentication no\nMaxStartups 100\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "config"], stderr=subprocess.PIPE)
    host_key = (folder / "host.pub").read_text().split()[:2]
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{port} {' '.join(host_key)}\n")
    until = time.monotonic() + 10
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.05)
    else:
        pytest.skip(f"no sshd can be started here: {process.communicate()[1]!r}")
    yield Server(port, folder / "client", known_hosts, process)
    process.terminate()
    process.wait(10)
    process.stderr.close()


@pytest.fixture
def there(target):
    """The folder on the other host; its name needs quoting."""
    folder = target / "back ups; $(x)"
    folder.mkdir()
    return folder


@pytest.fixture
def taped(server, there, capsys, monkeypatch):
    monkeypatch.setenv("TAPED_BACKUP__SSH_KEY", str(server.key))
    monkeypatch.setenv("TAPED_BACKUP__SSH_KNOWN_HOSTS", str(server.known_hosts))
    place = str(there).replace(" ", "%20")
    return Taped(f"ssh://{getpass.getuser()}@127.0.0.1:{server.port}{place}", capsys)


def test_a_backup_goes_to_another_host_and_comes_back(data, taped, there, tmp_path):
    told = taped.json("create", "--prune", data=data)
    assert told["verified"]
    assert len(list(there.rglob("objects/*/*"))) == told["new_objects"] == told["files"]
    assert taped.json("create", data=data)["new_bytes"] == 0
    assert len(taped.json("list")["backups"]) == 2
    back = tmp_path / "back"
    assert taped.json("restore", "--yes", data=back)["read_model"] == told["read_model"]
    assert not list(data.glob("backup-parcels-*"))


def test_old_backups_and_torn_files_are_removed_there(data, taped, there):
    first = taped.json("create", data=data)
    (stray,) = [next(there.rglob("objects/*")) / ".half.Ab12Cd"]
    stray.write_bytes(b"half")
    second = taped.json("create", "--prune", data=data)
    assert second["pruned"]["going"] == [first["backup"]]
    assert [row["name"] for row in taped.json("list")["backups"]] == [second["backup"]]
    assert not stray.exists()
    taped("verify", data=data)


def test_a_damaged_object_there_is_refused_by_name_and_healed_by_the_next_run(data, taped, there, tmp_path):
    name = taped.json("create", data=data)["backup"]
    victim = max(there.rglob("objects/*/*"), key=lambda path: path.stat().st_size)
    content = victim.read_bytes()
    victim.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DamagedBackupError, match=name):
        taped("restore", "--yes", data=tmp_path / "back")
    assert taped.json("create", data=data)["healed"] == 1
    assert victim.read_bytes() == content


def test_a_host_whose_key_is_not_known_is_refused(data, taped, server, monkeypatch, tmp_path):
    (tmp_path / "none").touch()
    monkeypatch.setenv("TAPED_BACKUP__SSH_KNOWN_HOSTS", str(tmp_path / "none"))
    with pytest.raises(TargetError, match="Host key verification failed"):
        taped("create", data=data)
    assert "Host key verification failed" in read_state(data).attempt.problem


def test_a_folder_that_is_not_there_is_refused(data, taped, there):
    there.rmdir()
    with pytest.raises(TargetError, match="list: rsync ended with 23"):
        taped("create", data=data)


@pytest.mark.parametrize("doing", ["send", "fetch"])
def test_a_line_that_breaks_leaves_no_backup_that_counts(data, taped, there, monkeypatch, doing):
    taped("create", data=data)
    before = tree(there)
    (data / "journal" / "quarantine").mkdir()
    (data / "journal" / "quarantine" / "new").write_bytes(b"something new")
    real, calls = HostStore._rsync, []

    def rsync(self, what, words, **options):
        calls.append(what)
        # The marks of the second backup are sent last; before them each step breaks once.
        if what == doing and calls.count(doing) == (2 if doing == "send" else 1):
            raise TargetError("the line broke")
        return real(self, what, words, **options)

    monkeypatch.setattr(HostStore, "_rsync", rsync)
    with pytest.raises(BackupError, match="the line broke"):
        taped("create", data=data)
    monkeypatch.setattr(HostStore, "_rsync", real)
    assert sum(row["state"] == "verified" for row in taped.json("list")["backups"]) == 1
    assert tree(there).items() >= before.items()
    taped("create", data=data)


def test_parcels_hold_some_files_each_and_all_arrive(server, there, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "PARCEL_BYTES", 3000)
    monkeypatch.setattr(remote, "PARCEL_FILES", 2)
    target = HostTarget(getpass.getuser(), "127.0.0.1", server.port, str(there))
    store = HostStore(target, tmp_path, key=server.key, known_hosts=server.known_hosts)
    wanted = {f"j/objects/{n}": bytes([n]) * 1000 for n in range(7)}
    for name, content in wanted.items():
        store.put(store.write(content), name)
    store.flush()
    assert store.listing("j") == dict.fromkeys(wanted, 1000)
    found = {name: path and path.read_bytes() for name, path in store.fetch([*wanted, "j/absent"])}
    assert found == {**wanted, "j/absent": None}
    store.remove([*list(wanted)[:6], "j/absent"])
    assert tree(there) == {"j/objects/6": bytes([6]) * 1000}
    assert store.listing("j") == {"j/objects/6": 1000}
    assert store.listing("absent") == {}
    assert store.free_bytes() > 0
    with pytest.raises(TargetError, match="longer than 10 bytes"):
        store.read("j/objects/6", 10)
    store.close()
