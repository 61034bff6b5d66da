"""Figures for Prometheus: counted a batch at a time, made into text only when somebody asks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from importlib.metadata import version
from typing import Any

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from daemon.api.health import Checkup, Health, HealthStatus
from daemon.api.ports import Engine, Machine
from daemon.backup_state import BackupWatch
from daemon.hardware.sensors import SENSORS
from daemon.journal.reader import Batch
from daemon.sync.status import SyncStatus
from daemon.trading.orders import OrderStatus
from daemon.upkeep import UpkeepStatus
from schemas.events import BreakerState, DiskLevel

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_NS = 1e9


class Metrics:
    """The daemon's figures, in a registry of their own.

    Attributes:
        batch_types: how many events of each record the last durable batch held.
        websockets: clients connected now.
        websockets_dropped: clients dropped because they read too slowly.
    """

    def __init__(
        self,
        engine: Engine,
        checkup: Checkup,
        upkeep: UpkeepStatus,
        machine: Machine | None = None,
        sync: SyncStatus | None = None,
        backups: BackupWatch | None = None,
    ) -> None:
        self._engine = engine
        self._checkup = checkup
        self._upkeep = upkeep
        self._machine = machine
        self._sync = SyncStatus() if sync is None else sync
        self._backups = backups
        self._events: Counter[type] = Counter()
        self._requests: dict[tuple[str, str, int], Histogram] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self._seconds = Histogram(
            "taped_http_request_seconds",
            "Time from a request's headers to its answer",
            ("method", "route", "status"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.batch_types: Counter[type] = Counter()
        self.websockets = 0
        self.websockets_dropped = 0

    def on_batch(self, batch: Batch) -> None:
        """Count a durable batch: some 30 ns an event, at C speed."""
        self.batch_types = counts = Counter(map(type, batch.events))
        self._events.update(counts)

    def on_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note how long a request took; `route` is the pattern, never the path that was asked for."""
        key = (method, route, status)
        series = self._requests.get(key)
        if series is None:
            series = self._requests[key] = self._seconds.labels(method, route, str(status))
        series.observe(seconds)

    def text(self) -> bytes:
        """Return everything in the text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield what is read from the daemon at the moment of asking."""
        engine = self._engine
        health = self._checkup()
        yield InfoMetricFamily("taped_build", "Version of this daemon", {"version": version("taped")})
        events = CounterMetricFamily(
            "taped_events", "Durable events by type since the start", labels=["type"]
        )
        for record, count in self._events.items():
            events.add_metric([record.__name__], count)
        yield events
        yield CounterMetricFamily(
            "taped_ticks_shed", "Ticks dropped because the disk was nearly full", engine.shedder.shed
        )
        yield CounterMetricFamily(
            "taped_journal_written_bytes",
            "Bytes of frames written to the journal since the start",
            engine.bytes_written,
        )
        yield CounterMetricFamily(
            "taped_journal_filled_bytes",
            "Zeros that segments were filled with ahead of need, since the start",
            engine.bytes_filled,
        )
        yield from self._archiving()
        yield from _gauges(
            ("taped_durable_seq", "Last event that is written and synced", health.durable_seq),
            ("taped_applied_seq", "Last event that the read model shows", health.applied_seq),
            ("taped_readmodel_lag_events", "Durable events the read model does not show yet", health.lag),
            ("taped_journal_pending_events", "Events that wait for the disk", engine.pending),
            ("taped_journal_sync_seconds", "Write and sync of the last frame", engine.sync_ns / _NS),
            (
                "taped_journal_day_bytes",
                "Bytes the journal wrote in the last 24 hours, zeros included, also before this start",
                engine.meter.last_day_bytes,
            ),
            ("taped_disk_free_bytes", "Free space of the journal's disk", health.disk_free_bytes),
            ("taped_websocket_clients", "WebSocket clients connected", self.websockets),
        )
        yield CounterMetricFamily(
            "taped_websocket_dropped", "WebSocket clients that read too slowly", self.websockets_dropped
        )
        yield _state(
            "taped_health", "1 for the present state of health", "status", HealthStatus, health.status
        )
        yield _state(
            "taped_disk_level", "1 for the rung that disk space is on", "level", DiskLevel, health.disk
        )
        yield from self._parity()
        yield self._orders()
        yield from self._breakers()
        if self._sync.enabled:
            yield from _of_sync(self._sync, health.sync)
        yield from self._progress(health)
        if self._backups is not None and self._backups.expected:
            yield from _of_backups(self._backups)
        if self._machine is not None:
            yield from _of_machine(self._machine)

    def _progress(self, health: Health) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "taped_progress_age_seconds", "Time since a part's last round", labels=["part"]
        )
        for part, age_s in health.progress.items():
            family.add_metric([part], age_s)
        yield family

    def _parity(self) -> Iterator[Metric]:
        checked = self._engine.core.parity
        if checked is None:
            return
        age_s = max(0, time.time_ns() - checked.ts_ns) / _NS
        yield from _gauges(
            ("taped_parity_passed", "1 when the last comparison of decisions passed", float(checked.passed)),
            ("taped_parity_age_seconds", "Time since that comparison", age_s),
            ("taped_parity_decisions", "Decisions that were equal in it", checked.decisions),
            (
                "taped_parity_different_seq",
                "Place of the first that was not; 0: none",
                checked.different_seq or 0,
            ),
        )

    def _archiving(self) -> Iterator[Metric]:
        upkeep = self._upkeep
        for name, documentation, value in (
            ("segments", "Segments archived since the start", upkeep.archived_segments),
            ("segment_bytes", "Length of those segments", upkeep.segment_bytes),
            ("bytes", "Length of their archives", upkeep.archive_bytes),
            ("failures", "Times that archiving ended early", upkeep.archive.failures),
        ):
            yield CounterMetricFamily(f"taped_archive_{name}", documentation, value)
        for name, documentation, value in (
            ("segments", "Segments that retention let go of since the start", upkeep.removed_segments),
            ("bytes", "Length of those segments", upkeep.removed_bytes),
            ("failures", "Times that retention ended early", upkeep.retention.failures),
        ):
            yield CounterMetricFamily(f"taped_retention_{name}", documentation, value)

    def _breakers(self) -> Iterator[Metric]:
        states = GaugeMetricFamily(
            "taped_breaker", "1 for the present state of a circuit breaker", labels=["breaker", "state"]
        )
        failures = GaugeMetricFamily(
            "taped_breaker_failures", "Failures in a row of an outside call", labels=["breaker"]
        )
        for row in self._engine.breakers.rows():
            failures.add_metric([row.breaker], row.failures)
            for state in BreakerState:
                states.add_metric([row.breaker, state.name.lower()], float(state.name == row.state))
        yield states
        yield failures

    def _orders(self) -> Metric:
        # Working orders are few and bounded; closed ones are told by taped_events_total.
        counts = Counter(order.status for order in self._engine.core.orders.working.values())
        family = GaugeMetricFamily("taped_orders", "Orders at the venue by status", labels=["status"])
        for status in OrderStatus:
            if status.is_working:
                family.add_metric([status.name.lower()], counts[status])
        return family


def _state(name: str, documentation: str, label: str, states: Iterable[Enum], now: Enum) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=[label])
    for state in states:
        family.add_metric([state.name.lower()], float(state is now))
    return family


def _gauges(*rows: tuple[str, str, float]) -> Iterator[Metric]:
    for name, documentation, value in rows:
        yield GaugeMetricFamily(name, documentation, value)


def _of_sync(sync: SyncStatus, document: Mapping[str, Any]) -> Iterator[Metric]:
    """Yield how far the journal is in the database; what is not known yet is left out."""
    told = (
        ("lag_events", "Durable events that the database has not confirmed", document["lag_events"]),
        ("lag_seconds", "Age of the oldest of those, at most", document["lag_seconds"]),
        ("confirmed_seq", "Last event that the database has confirmed", document["confirmed_seq"]),
    )
    for name, documentation, value in told:
        if value is not None:
            yield GaugeMetricFamily(f"taped_sync_{name}", documentation, value)
    for name, documentation, count in (
        ("events", "Events shipped to the database since the start", sync.events),
        ("duplicates", "Of these, events that were there already", sync.duplicates),
        ("failures", "Rounds that failed since the start", sync.failures),
    ):
        yield CounterMetricFamily(f"taped_sync_{name}", documentation, count)


def _of_backups(backups: BackupWatch) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "taped_backup_old", "1 while the last good backup is too old, or there is none", float(backups.old)
    )
    yield GaugeMetricFamily(
        "taped_backup_failed", "1 while the last attempt at a backup failed", float(bool(backups.failed))
    )
    age_s, state = backups.age_s, backups.state
    if age_s is not None and state is not None and state.good is not None:
        yield GaugeMetricFamily("taped_backup_age_seconds", "Age of the last good backup", age_s)
        yield GaugeMetricFamily("taped_backup_bytes", "Length of its files", state.good.length)
        yield GaugeMetricFamily("taped_backup_seq", "The last event in it", state.good.last_seq)


def _of_machine(machine: Machine) -> Iterator[Metric]:
    """Yield one gauge for each sensor that could be read, and the states of what is driven."""
    readings = machine.readings
    present = GaugeMetricFamily("taped_sensor_up", "1 for a sensor that could be read", labels=["sensor"])
    for name, documentation in SENSORS.items():
        value = readings.get(name)
        if value is not None:
            yield GaugeMetricFamily(f"taped_{name}", documentation, value)
        if readings:
            present.add_metric([name], float(value is not None))
    yield present
    if machine.duty is not None:
        yield GaugeMetricFamily("taped_fan_duty_percent", "What the fan is told", machine.duty)
    yield GaugeMetricFamily("taped_hot", "1 while it is too hot to trade as usual", float(machine.hot))
    family = GaugeMetricFamily(
        "taped_hardware_state", "1 for the present state of a part", labels=["part", "state"]
    )
    for part, now in machine.parts.items():
        for state in BreakerState:
            family.add_metric([part, state.name.lower()], float(state is now))
    yield family
