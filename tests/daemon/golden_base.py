"""`python -m tests.daemon.golden_base NUMBER`: writes a base state that later code must read for ever.

One is written for each release, with what must be found in it; files of a release are never changed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from daemon.journal.base_file import BaseFile, first_base
from daemon.journal.retention import Limits, Policy
from daemon.readmodel.writer import ReadModelWriter
from daemon.shorten import shorten
from daemon.start import core_at_beginning
from tests.daemon.readmodel.conftest import busy_stream
from tests.daemon.test_shorten import record

FOLDER = Path(__file__).parent / "base_states"
_TABLES = ("orders", "fills", "positions", "account", "bars", "events", "instruments")


def facts(path: Path, scratch: Path) -> dict[str, Any]:
    """Return what is found in a base state, in words that later code still has."""
    base = BaseFile(path)
    core = core_at_beginning(base, base.header.journal.hex())
    tables = ReadModelWriter(scratch / "facts.db", base.header.journal.hex())
    tables.seed(base.tables())
    counts = {name: tables._connection.execute(f"SELECT count(*) FROM {name}").get for name in _TABLES}
    found = {
        "next_seq": core.next_seq,
        "trading_state": core.trading_state.name,
        "cash": {currency: str(amount) for currency, amount in core.account.cash.items()},
        "positions": {
            core.instruments[number].symbol: [str(held.quantity), str(held.realised)]
            for number, held in core.positions.items()
        },
        "orders": dict(sorted(Counter(order.status.name for order in core.orders.values()).items())),
        "strategies": sorted({*core.strategies, *core.strategies.broken}),
        "applied_seq": tables.applied_seq,
        "rows": counts,
    }
    tables.close()
    return found


def main() -> None:
    path = FOLDER / f"{int(sys.argv[1])}.base"
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        record(data, busy_stream(36, 300).stream, segments=2)
        shorten(data, Policy(max_bytes=0), Limits(), now_ns=1)
        base = first_base(data / "journal")
        assert base is not None
        FOLDER.mkdir(exist_ok=True)
        path.write_bytes(base.path.read_bytes())
        told = facts(path, data)
    path.with_suffix(".json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
