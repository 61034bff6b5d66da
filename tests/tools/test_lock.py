"""The locked versions: the same everywhere, and each to be had for a Raspberry Pi without a compiler."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

GLIBC = range(36, 16, -1)
"""Minor versions of the C library that Raspberry Pi OS Bookworm (2.36) takes wheels of."""

LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-service.lock")


def locked(path: Path) -> list[tuple[Requirement, set[str]]]:
    """Return what a lock file pins, each with its hashes."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    rows = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [
        (Requirement(line.partition(" --hash")[0]), set(re.findall(r"sha256:([0-9a-f]{64})", line)))
        for line in rows
    ]


def tags_of_a_pi(version: tuple[int, int]) -> set:
    """Return the tags of wheels that CPython on a 64-bit Raspberry Pi OS takes."""
    platforms = [f"manylinux_2_{minor}_aarch64" for minor in GLIBC] + ["manylinux2014_aarch64"]
    return {
        *cpython_tags(version, platforms=platforms),
        *compatible_tags(version, f"cp{version[0]}{version[1]}", platforms),
    }


@pytest.mark.parametrize("version", [(3, 11), (3, 13)])
def test_every_locked_dependency_has_an_arm64_wheel(project_root, version) -> None:
    wheels: dict[str, list[tuple[str, set]]] = {}
    for line in (project_root / "tools/requirements-service.wheels").read_text().splitlines():
        digest, name = line.split()
        package, number, _, tags = parse_wheel_filename(name)
        wheels.setdefault(f"{package}=={number}", []).append((digest, set(tags)))
    wanted, missing = tags_of_a_pi(version), []
    environment = default_environment() | {
        "python_version": f"{version[0]}.{version[1]}",
        "python_full_version": f"{version[0]}.{version[1]}.0",
        "platform_machine": "aarch64",
    }
    for requirement, hashes in locked(project_root / "tools/requirements-service.lock"):
        if requirement.marker is not None and not requirement.marker.evaluate(environment):
            continue
        (number,) = requirement.specifier
        found = wheels.get(f"{canonicalize_name(requirement.name)}=={number.version}", [])
        if not any(digest in hashes and tags & wanted for digest, tags in found):
            missing.append(str(requirement))
    assert missing == []


def test_no_lock_file_pins_another_version_than_the_others(project_root) -> None:
    versions: dict[str, set[str]] = {}
    for lock in LOCKS:
        for requirement, _ in locked(project_root / "tools" / lock):
            key = f"{requirement.name} ; {requirement.marker}"
            versions.setdefault(key, set()).add(str(requirement.specifier))
    assert {key: found for key, found in versions.items() if len(found) > 1} == {}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_names_no_index_and_hashes_everything(project_root, lock) -> None:
    path = project_root / "tools" / lock
    assert "://" not in path.read_text()
    assert all(hashes for _, hashes in locked(path))
