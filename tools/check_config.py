"""`taped check-config`: shows every setting, its value and where the value came from. Starts nothing."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from daemon.config import DECLARED, Configuration, allowed, config_hash, flat, load
from tools.output import print_json, print_table


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of `taped`."""
    parser = commands.add_parser(
        "check-config",
        help="show every setting and where its value came from",
        description="Read and check settings as the daemon would, and show where each value came from.",
    )
    parser.add_argument("file", type=Path, nargs="?", help="TOML file; without one, defaults and environment")
    parser.add_argument(
        "--describe", action="store_true", help="show what each setting is for, and its limits"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the settings; a wrong one is an error that names file, key and what is allowed."""
    configuration = load(arguments.file, os.environ)
    if arguments.json:
        print_json(_document(configuration))
        return 0
    values = flat(configuration.settings)
    if arguments.describe:
        rows = [(key, allowed(declared), declared.rule.doc) for key, declared in DECLARED.items()]
        print_table(["setting", "allowed", "what it is for"], rows)
    else:
        rows = [(key, _text(value), configuration.sources[key]) for key, value in values.items()]
        print_table(["setting", "value", "from"], rows)
    for warning in configuration.warnings:
        print(f"taped: warning: {warning}", file=sys.stderr)
    return 0


def _document(configuration: Configuration) -> dict[str, Any]:
    values = flat(configuration.settings)
    return {
        "settings": {
            key: {"value": value, "source": configuration.sources[key]} for key, value in values.items()
        },
        "warnings": configuration.warnings,
        "config_hash": config_hash(configuration.settings),
    }


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return " ".join(f"{key}={_text(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
