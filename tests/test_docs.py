"""The READMEs tell the truth: their `console run` blocks run, their links and commands exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.cli import COMMANDS, Group

ROOT = Path(__file__).resolve().parent.parent
READMES = sorted(
    path
    for path in ROOT.rglob("README.md")
    if not any(
        part.startswith(".") or part in {"node_modules", "build"} for part in path.relative_to(ROOT).parts
    )
)
TOP_FOLDERS = ("daemon", "replay", "schemas", "systemd", "tests", "tools")


def name_of(path):
    return str(path.relative_to(ROOT))


def blocks(path):
    """Return the lines of each block that is to be run."""
    text = path.read_text(encoding="utf-8")
    return [block.splitlines() for block in re.findall(r"```console run\n(.*?)```", text, re.DOTALL)]


def steps(lines):
    """Return `(command, expected lines)` of a block."""
    found = []
    for line in lines:
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def matches(expected, output):
    """Return whether the lines are the output; `...` stands for anything, and blanks are not counted."""
    lines = [re.escape(" ".join(line.split())).replace(r"\.\.\.", ".*") for line in expected]
    text = "\n".join(" ".join(line.split()) for line in output.splitlines())
    return re.fullmatch("\n".join(lines), text, re.DOTALL) is not None


@pytest.mark.parametrize("path", [path for path in READMES if blocks(path)], ids=name_of)
def test_the_console_blocks_of_a_readme_run_as_shown(path, tmp_path):
    scripts = Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
    for block in blocks(path):
        for command, expected in steps(block):
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command],
                cwd=tmp_path,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                timeout=60,
                check=False,
            )
            assert matches(expected, done.stdout), f"$ {command}\n{done.stdout}"
            # A command that is shown to fail says so in the line it prints; 141 is a reader that had enough.
            shown_to_fail = any(line.startswith("taped: ") for line in expected)
            assert done.returncode == 1 if shown_to_fail else done.returncode in (0, 141), done.stdout


@pytest.mark.parametrize("folder", TOP_FOLDERS)
def test_every_top_folder_has_a_readme_for_its_readers(folder):
    text = (ROOT / folder / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {folder}: ")
    assert "\nFor " in text


@pytest.mark.parametrize("path", READMES, ids=name_of)
def test_links_of_a_readme_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (path.parent / link).exists(), link


@pytest.mark.parametrize("path", READMES, ids=name_of)
def test_every_command_a_readme_names_exists(path):
    names = set(re.findall(r"\btaped ([a-z][a-z-]+)\b(?! *\()", code_of(path)))
    assert names <= set(COMMANDS)


def code_of(path):
    """Return what stands in backquotes or is indented, where commands are."""
    text = path.read_text(encoding="utf-8")
    return "\n".join(re.findall(r"`([^`\n]+)`", text) + re.findall(r"^ {4}.*$", text, re.MULTILINE))


def test_the_table_of_commands_in_the_readme_is_complete():
    table = re.findall(
        r"^\| `taped ([^`]+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    shown = {" ".join(words) for words in (line.split() for line in table)}
    for name, entry in COMMANDS.items():
        for words in [f"{name} {inner}" for inner in entry.commands] if isinstance(entry, Group) else [name]:
            assert any(line == words or line.startswith(f"{words} ") for line in shown), words


@pytest.mark.parametrize("path", [path for path in READMES if path.parent != ROOT], ids=name_of)
def test_files_in_the_tables_of_a_readme_exist(path):
    for cell in re.findall(
        r"^\| ((?:`[\w/.-]+`(?:, )?)+) \|", path.read_text(encoding="utf-8"), re.MULTILINE
    ):
        for name in re.findall(r"`([\w/.-]+)`", cell):
            if name.endswith((".py", ".sql", ".service", ".toml")) or name in {
                "setup",
                "demo",
                "test",
                "lock",
            }:
                assert (path.parent / name).exists(), name


@pytest.mark.parametrize("path", READMES, ids=name_of)
def test_a_readme_promises_no_later_work(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\b(TODO|FIXME|coming soon|tbd)\b", text, re.IGNORECASE)
