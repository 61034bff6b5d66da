"""Exports a recorded run as tables: runs it once more, and holds its result against the recorded one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from daemon.trading.money import fee_money
from replay.export.folder import MANIFEST, new_folder
from replay.export.market import ExportError, Row
from replay.export.sinks import load_pyarrow
from replay.export.table_file import TableFile
from replay.export.tables import DECIMALS, RUN_TABLES
from replay.recorder import Recorder, Recording
from replay.round_trips import RoundTrip
from replay.runs.record import Run
from replay.runs.repeat import repeat
from replay.source import Progress, Source
from schemas.events import OrderFilled, Side

_LONG = 1


class FillsRecorder(Recorder):
    """A recorder that also writes each fill to a table as it comes."""

    def __init__(self, table: TableFile) -> None:
        super().__init__()
        self._table = table

    def filled(self, fill: OrderFilled) -> None:
        """See `Recorder.filled`."""
        order, instrument = (
            self._core.orders.get(fill.order_id),
            self._core.instruments.get(fill.instrument_id),
        )
        if order is not None and instrument is not None:
            row = (
                fill.ts_ns, fill.order_id, instrument.symbol, instrument.venue, fill.side.name.lower(),
                fill.price * 10 ** (DECIMALS - instrument.price_scale),
                fill.quantity * 10 ** (DECIMALS - instrument.quantity_scale),
                fee_money(fill.fee, fill.fee_scale), fill.fee_currency, fill.liquidity.name.lower(),
                order.request.strategy_id, order.request.tag,
            )  # fmt: skip
            self._table.take([row])
        super().filled(fill)


def export_run(
    run: Run,
    folder: Path | None,
    out: Path,
    *,
    form: str = "parquet",
    force: bool = False,
    source: Source | None = None,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Make an export of a run, and return the rows of each table.

    Args:
        run: a recorded run.
        folder: data folder of the catalogue, as for `repeat`.
        out: folder to make.
        form: a key of `SUFFIXES`.
        force: replace an export that is there.
        source: as for `repeat`.
        progress: as for `repeat`.

    Raises:
        ExportError: the run does not give the recorded result any more; then nothing was made.
        CatalogueError: as `repeat`.
    """
    if form != "csv":
        load_pyarrow()
    with new_folder(out, force=force) as fresh:
        tables = {name: TableFile(table, fresh, form) for name, table in RUN_TABLES.items()}
        try:
            recorder = FillsRecorder(tables["fills"])
            done = repeat(run, folder, source=source, progress=progress, recorder=recorder)
            if not done.equal:
                raise ExportError(
                    f"run {run.number} does not give the recorded result any more",
                    hint="`taped replay runs repeat` tells what differs",
                )
            recording = recorder.finish()
            tables["equity"].take(equity_rows(recording))
            tables["trips"].take(map(trip_row, (*recording.trips, *recording.open_trips)))
        finally:
            for table in tables.values():
                table.close()
        rows = {name: table.rows for name, table in tables.items()}
        manifest = {"run": run.number, "result_sha256": run.result_sha256, "rows": rows}
        (fresh / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    return rows


def equity_rows(recording: Recording) -> Iterable[Row]:
    """Return the rows of the curve."""
    currency = recording.currency
    return (
        (point.ts_ns, currency, point.equity, point.flow, point.gross, point.net) for point in recording.curve
    )


def trip_row(trip: RoundTrip) -> Row:
    """Return the row of a round trip."""
    side = Side.BUY if trip.side == _LONG else Side.SELL
    return (
        trip.strategy_id, trip.instrument, trip.tag, side.name.lower(), trip.opened_ns, trip.closed_ns,
        trip.currency, trip.profit, trip.fees, trip.slippage, trip.adverse, trip.favourable,
    )  # fmt: skip
