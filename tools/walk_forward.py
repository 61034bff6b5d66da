"""The walk forward of `taped replay optimise`: its searches one after another, and what it prints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from replay.optimise.folds import Fold, make_folds, tick_times
from replay.optimise.pool import Pool
from replay.optimise.walk_forward import Attempt, Joined, join, try_winner
from tools.event_text import time_text
from tools.output import print_json, print_table
from tools.wording import counted

if TYPE_CHECKING:
    from tools.optimise import Asked

INTERRUPTED = 130
SHOWN = ("total_return", "cagr", "sharpe", "max_drawdown", "trips", "win_rate", "profit_factor")


def walk_forward(asked: Asked, pool: Pool) -> int:
    """Walk and print; 1 when a search found nothing that counts, 130 when it was interrupted."""
    from tools.optimise import Watch  # noqa: PLC0415  # That module imports this one where it is needed.

    arguments = asked.arguments
    folds = make_folds(
        tick_times(asked.spec),
        arguments.walk_forward,
        folds=arguments.folds,
        train_ns=arguments.train,
        test_ns=arguments.test,
    )
    watch = Watch()
    tested: list[Attempt] = []
    for number, fold in enumerate(folds, 1):
        inside = msgspec.structs.replace(asked.spec, from_ns=fold.train_from_ns, to_ns=fold.train_to_ns)
        label = f"Search {number} of {len(folds)}"
        found = asked.search(inside, pool, watch, study=_part(arguments.study, number), label=label)
        if watch.interrupted:
            print(f"taped: interrupted in fold {number} of {len(folds)}", file=sys.stderr)
            return INTERRUPTED
        if not found.best:
            reason = next(iter(found.reasons), "there was none")
            print(f"taped: fold {number}: no trial counts, the first because {reason}", file=sys.stderr)
            return 1
        tested.append(try_winner(asked.spec, fold, found))
    joined = join(tested)
    if arguments.json:
        print_json(as_json(tested, joined))
    else:
        _print(tested, joined, asked)
    return 0


def _part(study: Path | None, number: int) -> Path | None:
    """Return the file of a fold's study."""
    return None if study is None else study.with_name(f"{study.name}.{number}")


def as_json(tested: list[Attempt], joined: Joined) -> dict[str, Any]:
    """Return the walk as plain values."""
    return {
        "folds": [
            {
                **fold._asdict(),
                "parameters": test.winner.parameters,
                "trials": len(test.found.outcomes),
                "inside": test.inside,
                "outside": test.outside,
            }
            for test in tested
            for fold in (test.fold,)
        ],
        "efficiency": joined.efficiency,
        "won": joined.won,
        "metrics": joined.measures.values,
        "curve": [[point.ts_ns, point.equity] for point in joined.curve],
    }


def _print(tested: list[Attempt], joined: Joined, asked: Asked) -> None:
    names = [axis.name for axis in asked.space.axes]
    rows = [
        [
            number,
            _range(test.fold),
            *(test.winner.parameters[name] for name in names),
            _percent(test.inside),
            _percent(test.outside),
        ]
        for number, test in enumerate(tested, 1)
    ]
    print_table(["fold", "tried on", *names, "inside", "outside"], rows)
    print()
    print("all that was tried outside, joined:")
    values = joined.measures.values
    print_table(["metric", "value"], [[name, _number(values[name])] for name in SHOWN])
    print()
    print(f"{joined.won} of {counted(len(tested), 'winner')} grew outside its search; {_efficiency(joined)}")


def _efficiency(joined: Joined) -> str:
    if joined.efficiency is None:
        return "efficiency cannot be told: the winners lost inside already"
    return f"outside grew at {joined.efficiency:.0%} of the rate inside"


def _range(fold: Fold) -> str:
    return f"{_minute(fold.test_from_ns)} to {_minute(fold.test_to_ns)}"


def _minute(ns: int) -> str:
    text = time_text(ns)
    assert text is not None
    return text[:16].replace("T", " ")


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:+.3%}"


def _number(value: float | None) -> str | None:
    if value is None:
        return None
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"
