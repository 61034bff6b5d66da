"""`taped sync tune`: settings of PostgreSQL for a Raspberry Pi, each with its reason; changes nothing."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from typing import NamedTuple

from tools.output import UsageError, print_json

_MEBIBYTE = 1 << 20
LEAST_MEMORY_MIB = 900
MOST_MEMORY_MIB = 1 << 20


class Machine(NamedTuple):
    """The machine that PostgreSQL runs on.

    Attributes:
        memory_mib: all its memory.
        cores: of its processor.
        shared: whether taped runs there too.
    """

    memory_mib: int
    cores: int
    shared: bool


class Line(NamedTuple):
    """One setting of postgresql.conf, and why."""

    name: str
    value: str
    reason: str


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of `taped`."""
    parser = commands.add_parser(
        "tune",
        help="settings for PostgreSQL on a Raspberry Pi",
        description="Print a file for PostgreSQL's conf.d that suits this machine, or one of the size that is"
        " told. Nothing is changed.",
    )
    # Printing is all it does; the flag is there so that nobody expects more.
    parser.add_argument("--print", action="store_true", required=True, help="print the file")
    parser.add_argument("--memory-gb", type=float, metavar="GB", help="memory of the machine, such as 4 or 8")
    parser.add_argument("--cores", type=int, metavar="N", help="cores of its processor")
    parser.add_argument(
        "--alone", action="store_true", help="the machine is the database's alone; taped runs on another"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the settings."""
    machine = _machine(arguments)
    lines = list(settings_for(machine))
    if arguments.json:
        print_json({line.name: {"value": line.value, "reason": line.reason} for line in lines})
        return 0
    whose = "the database alone" if not machine.shared else "taped and the database together"
    print(f"# PostgreSQL for {whose}, on {machine.memory_mib:,} MiB and {machine.cores} cores.")
    for line in lines:
        print(f"\n# {line.reason}\n{line.name} = {line.value}")
    return 0


def settings_for(machine: Machine) -> Iterator[Line]:
    """Yield the settings for a machine."""
    yield from _memory(machine)
    yield from _writing(machine)
    yield from _processes(machine)
    yield from _reading()


def _memory(machine: Machine) -> Iterator[Line]:
    # Beside taped, the journal's pages and the read model want the system's cache as well.
    share = 8 if machine.shared else 4
    yield Line(
        "shared_buffers",
        _mib(machine.memory_mib // share, 128, 8192),
        f"A {'eighth' if machine.shared else 'quarter'} of the memory, for the chunks that are written to and"
        " their indexes; the system's cache holds the rest.",
    )
    yield Line(
        "effective_cache_size",
        _mib(machine.memory_mib // (2 if machine.shared else 1) * 3 // 4, 256, 65_536),
        "Takes no memory: what the planner may expect the system to have cached.",
    )
    yield Line(
        "work_mem",
        _mib(machine.memory_mib // 512, 4, 64),
        "For each sort of each query; reports over months sort, the sync does not.",
    )
    yield Line(
        "maintenance_work_mem",
        _mib(machine.memory_mib // 64, 32, 512),
        "For indexes, VACUUM, and making columns of a chunk.",
    )


def _writing(machine: Machine) -> Iterator[Line]:
    yield Line(
        "max_wal_size",
        _mib(machine.memory_mib // 4, 512, 4096),
        "Few checkpoints: each makes the next change of every page be written in full. Costs so much disk.",
    )
    yield Line("min_wal_size", "256MB", "Files of the log are used again, which spares the drive.")
    yield Line("checkpoint_timeout", "15min", "As above; a start after a crash takes longer for it.")
    yield Line("wal_compression", "lz4", "Pages written in full shrink, which wears the drive less.")
    yield Line(
        "synchronous_commit",
        "on",
        "The sync asks for it in any case: what is confirmed may be removed from the journal.",
    )


def _processes(machine: Machine) -> Iterator[Line]:
    yield Line(
        "max_connections",
        "25",
        "One for each daemon that ships, a few for people, dashboards and backups; each takes memory.",
    )
    yield Line("shared_preload_libraries", "'timescaledb'", "TimescaleDB must be loaded at the start.")
    yield Line(
        "timescaledb.max_background_workers",
        "6",
        "One starts the others, one a database schedules, the rest compress, refresh and remove.",
    )
    yield Line(
        "max_worker_processes",
        str(6 + 3 + machine.cores),
        "Room for those, for parallel queries and for the server's own.",
    )
    yield Line(
        "max_parallel_workers",
        str(max(1, machine.cores // 2)),
        "Half of the cores: a report must not hold up the sync, nor trading beside it.",
    )
    yield Line("max_parallel_workers_per_gather", "1", "For the same reason.")
    yield Line("autovacuum_max_workers", "2", "Ticks are added and never changed: there is little to clean.")
    yield Line(
        "max_locks_per_transaction",
        "256",
        "A query over a year of ticks locks hundreds of chunks, each with its indexes.",
    )


def _reading() -> Iterator[Line]:
    yield Line("random_page_cost", "1.1", "A solid-state drive finds a page nearly as fast as the next one.")
    yield Line("effective_io_concurrency", "64", "NVMe answers many reads at a time.")
    yield Line("jit", "off", "Compiling a query takes longer than it saves on queries by chunk.")
    yield Line("timescaledb.telemetry_level", "off", "It would tell its makers about this server once a day.")


def _mib(value: int, least: int, most: int) -> str:
    return f"{min(max(value, least), most)}MB"


def _machine(arguments: argparse.Namespace) -> Machine:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    given = arguments.memory_gb
    memory = round(given * 1024) if given is not None else pages // _MEBIBYTE
    if not LEAST_MEMORY_MIB <= memory <= MOST_MEMORY_MIB:
        raise UsageError(f"--memory-gb {given:g}: expected 1 to 1024")
    cores = (os.cpu_count() or 1) if arguments.cores is None else arguments.cores
    if not 1 <= cores <= 1024:  # noqa: PLR2004
        raise UsageError(f"--cores {cores}: expected 1 to 1024")
    return Machine(memory, cores, shared=not arguments.alone)
