"""Fixtures of the whole suite: recorded market data, scratch data folders, hypothesis profiles."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

settings.register_profile(
    "ci",
    max_examples=50,
    deadline=None,  # A shared machine is slow at times; a time limit would test the machine.
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("search", parent=settings.get_profile("ci"), max_examples=2000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def market_data() -> Path:
    """Folder of recorded market data; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("TAPED_MARKET_DATA") or ROOT.parent / "shared" / "data").resolve()
    if not (folder / "SHA256SUMS").is_file():
        pytest.skip(f"no recorded market data in {folder}; set TAPED_MARKET_DATA to the folder that has it")
    return folder


@pytest.fixture(scope="session")
def project_root() -> Path:
    """Folder of the checkout."""
    return ROOT


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    """Empty folder for one daemon's data."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount point of an ext4 file system of 64 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a loop device needs root")
    image, mount = tmp_path / "image", tmp_path / "mount"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    mount.mkdir()
    try:
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no loop-mounted ext4 here: {error}")
    yield mount
    subprocess.run(["umount", mount], check=True)


@pytest.fixture(autouse=True)
def _no_settings_from_the_caller(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Keep the caller's `TAPED_*` variables out of the tests, and the tests out of the caller's state."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))
    for name in [name for name in os.environ if name.startswith("TAPED_") and name != "TAPED_MARKET_DATA"]:
        monkeypatch.delenv(name)
