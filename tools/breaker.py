"""`taped breaker`: lists the circuit breakers around a daemon's outside calls."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from tools import client
from tools.output import print_json, print_table


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "breaker",
        help="list a running daemon's circuit breakers",
        description="Lists the circuit breakers around outside calls. Exit code 1 when one is not closed.",
    )
    client.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print every breaker that ever changed."""
    document = client.from_arguments(arguments).get("/api/v1/breakers").document
    breakers = document["breakers"]
    if arguments.json:
        print_json(document)
    elif breakers:
        print_table(
            ("breaker", "state", "failures", "since (UTC)", "reason"),
            [
                (
                    row["breaker"],
                    row["state"],
                    row["failures"],
                    f"{datetime.fromtimestamp(row['since_ns'] / 1e9, tz=UTC):%Y-%m-%d %H:%M:%S}",
                    row["reason"] or None,
                )
                for row in breakers
            ],
        )
    else:
        print("all well: no breaker has opened since the journal began")
    return int(any(row["state"] != "closed" for row in breakers))
