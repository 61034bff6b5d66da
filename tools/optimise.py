"""`taped replay optimise`: searches parameters on all cores, and says how far to trust the winner."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from daemon.trading.strategy import Strategy
from daemon.user_strategies import load_kinds
from replay.optimise.folds import MAX_FOLDS, WALKS
from replay.optimise.objective import Constraint, ObjectiveError, parse_constraint, parse_objectives
from replay.optimise.pool import MAX_WORKERS, LocalPool, Pool, all_cores
from replay.optimise.run import Found, Goal, run_search, summarise
from replay.optimise.search import MAX_TRIALS, SEARCHES, make_search
from replay.optimise.space import Space, SpaceError, make_space
from replay.optimise.study import Outcome, Plan, Study
from replay.optimise.trial import METRICS
from replay.recorder import Recorder
from replay.report import measure_recording
from replay.run import run_spec
from replay.source import open_source
from replay.spec import BacktestSpec
from schemas.events import Scalar
from tools.backtest import describe_strategies
from tools.output import UsageError, print_json, print_table, progress
from tools.recording import add_record_flags, keep
from tools.spec_flags import add_spec_flags, between, flags_of, spec_of
from tools.wording import counted

SHOWN = 10
INTERRUPTED = 130
MAX_SPAN = 100_000


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "optimise",
        help="search a strategy's parameters, on all cores",
        description="Runs a strategy over recorded market data with many parameters, each in a process of"
        " its own, and tells the best and how far to trust it.",
        epilog=describe_strategies(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_spec_flags(parser)
    add_search_flags(parser)
    parser.add_argument(
        "--study", type=Path, metavar="FILE", help="keep results in a file, and go on from it"
    )
    parser.add_argument(
        "--top", type=between(1, MAX_TRIALS), default=SHOWN, metavar="N", help="results to show (%(default)s)"
    )
    add_record_flags(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def add_search_flags(parser: argparse.ArgumentParser) -> None:
    """Add what tells a search: the space, the goal, and how."""
    group = parser.add_argument_group("search")
    group.add_argument(
        "--range",
        action="append",
        default=[],
        metavar="NAME=LOW:HIGH:STEP",
        help="values of a number to try, both ends included; a STEP like x2 multiplies; repeat",
    )
    group.add_argument(
        "--choice", action="append", default=[], metavar="NAME=A,B", help="values to try; repeat"
    )
    group.add_argument(
        "--search",
        choices=SEARCHES,
        default="grid",
        help="all, any, or what optuna's TPE proposes (%(default)s)",
    )
    group.add_argument(
        "--trials", type=between(1, MAX_TRIALS), metavar="N", help="at most; 100 unless the search is a grid"
    )
    group.add_argument(
        "--objective",
        default="sharpe",
        metavar="METRIC,...",
        help=f"what to make best (%(default)s); METRIC:min or METRIC:max turns it. Of {', '.join(METRICS)}",
    )
    group.add_argument(
        "--constraint", action="append", default=[], metavar="METRIC>=N", help="what counts; repeat"
    )
    group.add_argument(
        "--cluster", metavar="ADDRESS", help="run on the workers of this Dask scheduler, not on these cores"
    )
    group.add_argument(
        "--walk-forward",
        choices=WALKS,
        help="try each winner on the time behind its search; searches begin together, or move on",
    )
    group.add_argument(
        "--folds",
        type=between(1, MAX_FOLDS),
        default=5,
        metavar="N",
        help="walk forward so often (%(default)s)",
    )
    for name, what in (("train", "search"), ("test", "test")):
        group.add_argument(
            f"--{name}", type=_span, metavar="SPAN", help=f"length of each {what}, such as 10d or 6h"
        )
    group.add_argument(
        "--workers", type=between(1, MAX_WORKERS), metavar="N", help="processes; all cores if left out"
    )


def run(arguments: argparse.Namespace) -> int:
    """Search; 1 when no result counts, 130 when it was interrupted."""
    # Processes start first: the rest of this command's imports and checks run beside theirs.
    with ExitStack() as opened:
        spec = spec_of(arguments)
        pool: Pool = opened.enter_context(pool_of(arguments, spec))
        spec = pinned(spec)
        asked = Asked(arguments, spec, space_of(arguments, spec), goal_of(arguments))
        if arguments.walk_forward:
            return walk(asked, pool)
        watch = Watch()
        found = asked.search(spec, pool, watch, study=arguments.study)
    space, goal = asked.space, asked.goal
    if arguments.json:
        print_json(as_json(found, goal, space, watch))
    else:
        _print(found, goal, space, watch, spec=spec, top=arguments.top)
    if watch.interrupted:
        kept = f"; `--study {arguments.study}` goes on from here" if arguments.study else ""
        print(f"taped: interrupted after {counted(len(found.outcomes), 'trial')}{kept}", file=sys.stderr)
        return INTERRUPTED
    if not found.best:
        return 1
    if not arguments.no_record:
        record_best(arguments, spec, found.best[0])
    return 0


def record_best(arguments: argparse.Namespace, spec: BacktestSpec, best: Outcome) -> None:
    """Run the best once more and record it: a study keeps less of its trials than the catalogue does."""
    winner = msgspec.structs.replace(spec, parameters=best.parameters)
    source = open_source(winner)
    recorder = Recorder()
    result = run_spec(winner, source=source, recorder=recorder)
    metrics = measure_recording(recorder.finish()).values
    keep(arguments, winner, source.identity(), result, metrics, origin="optimise")


def pinned(spec: BacktestSpec) -> BacktestSpec:
    """Return the spec with its last event named: a journal may grow meanwhile."""
    identity = open_source(spec).identity()
    if not identity.journal_id:
        return spec
    return msgspec.structs.replace(spec, to_seq=identity.last_seq)


def pool_of(arguments: argparse.Namespace, spec: BacktestSpec) -> Pool:
    """Return what is to run the trials."""
    if arguments.cluster is None:
        return LocalPool(arguments.workers or all_cores())
    # Only what is asked for is imported: a cluster's library takes a third of a second.
    from replay.optimise.cluster import ClusterPool  # noqa: PLC0415

    return ClusterPool(arguments.cluster, pinned(spec))


class Watch:
    """What is told of searches under way."""

    def __init__(self) -> None:
        self.earlier = 0
        self.first_trial_s: float | None = None
        self.seconds = 0.0
        self.interrupted = False

    def told(self, outcome: Outcome) -> None:
        """Take one new result."""
        if self.first_trial_s is None:
            self.first_trial_s = _process_age() - outcome.seconds


@dataclass(frozen=True)
class Asked:
    """What the flags ask for."""

    arguments: argparse.Namespace
    spec: BacktestSpec
    space: Space
    goal: Goal

    def search(
        self, spec: BacktestSpec, pool: Pool, watch: Watch, *, study: Path | None, label: str = "Search"
    ) -> Found:
        """Search the time of a spec, and return what was found; all there is so far when interrupted."""
        search = make_search(
            self.arguments.search,
            self.space,
            self.goal.objectives,
            trials=self.arguments.trials,
            seed=spec.seed,
        )
        begun = time.perf_counter()
        with Study(study, plan_of(self.arguments, spec, self.space, self.goal)) as kept:
            watch.earlier += len(kept.outcomes)
            total = max(0, search.total - len(kept.outcomes))
            with progress(label, total=total, unit="trials", show=not self.arguments.json) as bar:

                def told(outcome: Outcome) -> None:
                    watch.told(outcome)
                    bar(1)

                try:
                    run_search(kept, search, self.space, self.goal, pool, told=told)
                except KeyboardInterrupt:
                    watch.interrupted = True
        watch.seconds += time.perf_counter() - begun
        return summarise(kept.outcomes, self.space, self.goal)


def walk(asked: Asked, pool: Pool) -> int:
    """Walk forward, and print it; 1 when a search found nothing, 130 when it was interrupted."""
    # Only what is asked for is imported: the first trial of a plain search is not to wait for this.
    from tools.walk_forward import walk_forward  # noqa: PLC0415

    return walk_forward(asked, pool)


def kind_of(spec: BacktestSpec) -> type[Strategy]:
    """Return the class of a spec's strategy.

    Raises:
        UsageError: there is no such kind.
    """
    kinds = load_kinds(None if spec.strategies_folder is None else Path(spec.strategies_folder)).classes
    if spec.strategy not in kinds:
        raise UsageError(
            f"--strategy: there is no kind {spec.strategy!r}", hint=f"there is {', '.join(kinds)}"
        )
    return kinds[spec.strategy]


def space_of(arguments: argparse.Namespace, spec: BacktestSpec) -> Space:
    """Return the space that the flags tell.

    Raises:
        UsageError: they tell none.
    """
    try:
        return make_space(
            kind_of(spec), ranges=arguments.range, choices=arguments.choice, fixed=spec.parameters
        )
    except SpaceError as error:
        raise UsageError(error.message, hint=error.hint) from error


def goal_of(arguments: argparse.Namespace) -> Goal:
    """Return what the flags look for.

    Raises:
        UsageError: a metric is not known, or a constraint is none.
    """
    try:
        objectives = parse_objectives(arguments.objective, METRICS)
        constraints: list[Constraint] = [parse_constraint(text, METRICS) for text in arguments.constraint]
    except ObjectiveError as error:
        raise UsageError(error.message, hint=error.hint) from error
    return Goal(objectives, tuple(constraints))


def plan_of(arguments: argparse.Namespace, spec: BacktestSpec, space: Space, goal: Goal) -> Plan:
    """Return the plan of a study."""
    return Plan(
        spec=spec,
        data=open_source(spec).identity(),
        axes={axis.name: list(axis.values) for axis in space.axes},
        search=arguments.search,
        objectives=[(item.metric, item.direction) for item in goal.objectives],
        constraints=[str(item) for item in goal.constraints],
        seed=spec.seed,
    )


def as_json(found: Found, goal: Goal, space: Space, watch: Watch) -> dict[str, Any]:
    """Return what was found as plain values."""
    return {
        "trials": len(found.outcomes),
        "counted": found.counted,
        "resumed": watch.earlier,
        "seconds": round(watch.seconds, 3),
        "first_trial_s": None if watch.first_trial_s is None else round(watch.first_trial_s, 3),
        "objectives": [{"metric": item.metric, "direction": item.direction} for item in goal.objectives],
        "best": [_outcome(outcome) for outcome in found.best[: None if len(goal.objectives) > 1 else 1]],
        "importance": found.importance,
        "overfitting": None if found.overfitting is None else asdict(found.overfitting),
        "not_counted": found.reasons,
        "results": [_outcome(outcome) for outcome in found.outcomes],
        "searched": {axis.name: list(axis.values) for axis in space.axes},
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.to_builtins(outcome)
    del body["returns"]
    return body


def _print(found: Found, goal: Goal, space: Space, watch: Watch, *, spec: BacktestSpec, top: int) -> None:
    resumed = f", {watch.earlier:,} of them from the study" if watch.earlier else ""
    print(
        f"{counted(len(found.outcomes), 'trial')} in {watch.seconds:.1f} s{resumed}; {found.counted:,} count"
    )
    for reason, count in list(found.reasons.items())[:5]:
        print(f"note: {counted(count, 'trial')} left out: {reason}")
    if not found.best:
        return
    print()
    names = [axis.name for axis in space.axes]
    metrics = list(dict.fromkeys([*(item.metric for item in goal.objectives), *SHOWN_METRICS]))
    rows = [
        [
            outcome.number,
            *(outcome.parameters[name] for name in names),
            *map(_short, _picked(outcome, metrics)),
        ]
        for outcome in found.best[:top]
    ]
    print_table(["trial", *names, *metrics], rows)
    if found.importance:
        print()
        shares = sorted(found.importance.items(), key=lambda item: -item[1])
        text = ", ".join(f"{name} {share:.0%}" for name, share in shares)
        print(f"spread of {goal.objectives[0].metric} that a parameter explains by itself: {text}")
    if found.overfitting is not None:
        print()
        print(found.overfitting.verdict.replace(": ", ":\n  ", 1).replace("; ", ";\n  "))
    print()
    print(f"run the {'first' if len(goal.objectives) > 1 else 'best'} again:")
    print(f"  {backtest_line(spec, found.best[0].parameters)}")


SHOWN_METRICS = ("total_return", "sharpe", "max_drawdown", "trips")


def _picked(outcome: Outcome, metrics: list[str]) -> list[float | None]:
    return [outcome.metrics.get(name) for name in metrics]


def _short(value: float | None) -> str | None:
    if value is None:
        return None
    if float(value).is_integer():
        return f"{value:,.0f}"
    # Small fractions side by side are read more easily with all their zeros.
    return f"{value:.6f}" if abs(value) < 1 else f"{value:,.4g}"


def backtest_line(spec: BacktestSpec, parameters: Mapping[str, Scalar]) -> str:
    """Return the command that runs one backtest of a search, ready to be pasted."""
    words = ["taped", "replay", "backtest", *spec.data, "--strategy", spec.strategy]
    searched = sorted(set(parameters) - set(spec.parameters))
    for name in (*spec.parameters, *searched):
        value = parameters[name]
        text = str(value).lower() if isinstance(value, bool) else str(value)
        words += ["--param", f"{name}={text}"]
    return shlex.join([*words, *flags_of(spec)])


def _process_age() -> float:
    """Return for how many seconds this process has existed, imports included."""
    with open("/proc/self/stat", encoding="ascii") as file:  # noqa: PTH123  # One read of the kernel's own file.
        ticks = int(file.read().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / 100


def _span(text: str) -> int:
    """Return a length of time in ns."""
    unit_s = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}.get(text[-1:], 0)
    if not unit_s or not text[:-1].isdigit() or not 0 < int(text[:-1]) <= MAX_SPAN:
        raise argparse.ArgumentTypeError(f"{text}, expected a whole number and d, h, m or s")
    return int(text[:-1]) * unit_s * 10**9
