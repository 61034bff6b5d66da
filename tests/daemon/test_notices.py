from __future__ import annotations

import logging

import pytest

from daemon.journal.reader import Batch
from daemon.notices import log_notifications
from schemas.events import ClockTicked, NotificationQueued, Severity


@pytest.mark.parametrize(
    ("severity", "level"),
    [(Severity.INFO, "INFO"), (Severity.WARNING, "WARNING"), (Severity.ERROR, "ERROR")],
)
def test_a_notification_is_logged_at_its_severity(severity, level, caplog) -> None:
    caplog.set_level(logging.INFO)
    told = NotificationQueued(ts_ns=1, severity=severity, subject="a strategy raised", body="KeyError: 'x'")
    log_notifications(Batch(1, [ClockTicked(ts_ns=1, synchronized=True), told], 0))
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == (level, "a strategy raised: KeyError: 'x'")


def test_a_batch_without_notifications_logs_nothing(caplog) -> None:
    caplog.set_level(logging.DEBUG)
    log_notifications(Batch(1, [ClockTicked(ts_ns=1, synchronized=True)], 0))
    assert caplog.records == []
