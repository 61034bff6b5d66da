"""Logs: their lines, their rotation, and what they never hold or hold up."""

from __future__ import annotations

import io
import json
import logging
import os
import queue
import sys
import threading
import time

import pytest

from daemon import logs as logs_module
from daemon.logs import BoundedQueueHandler, LogError, Logs, RotatingFile, Secrets
from daemon.settings import LogSettings

log = logging.getLogger("daemon.test")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "logs" / "taped.log"


def json_lines(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def record(text="x", created=None):
    made = logging.LogRecord("daemon.test", logging.INFO, __file__, 1, text, None, None)
    made.created = time.time() if created is None else created
    return made


def test_a_json_line_has_time_level_logger_message_and_extra(file):
    with Logs(LogSettings(format="json", file=file)):
        log.warning("gap of %d", 3, extra={"seq": 17, "feed": "binance"})
    (entry,) = json_lines(file)
    assert entry["time"].endswith("Z")
    del entry["time"]
    assert entry == {
        "level": "warning",
        "logger": "daemon.test",
        "message": "gap of 3",
        "seq": 17,
        "feed": "binance",
    }


def test_a_console_line_is_one_line(file):
    with Logs(LogSettings(file=file)):
        log.info("two\nlines", extra={"seq": 17})
    (line,) = file.read_text().splitlines()
    assert line.endswith(r"INFO    daemon.test: two\nlines seq=17")


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_is_kept(file, form):
    with Logs(LogSettings(format=form, file=file)):
        try:
            _ = 1 / 0
        except ZeroDivisionError:
            log.exception("failed")
    assert "ZeroDivisionError: division by zero" in file.read_text()


def test_without_a_file_lines_go_to_standard_error(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with Logs(LogSettings()):
        log.info("hello")
    assert "daemon.test: hello" in stream.getvalue()


def test_records_below_the_level_are_not_written(file):
    with Logs(LogSettings(level="warning", file=file)):
        log.info("quiet")
        log.error("loud")
    assert "quiet" not in file.read_text()
    assert "loud" in file.read_text()


def test_after_closing_the_root_logger_is_as_before(file):
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    with Logs(LogSettings(level="debug", file=file)):
        assert (root.level, root.handlers) != before
    assert (root.level, list(root.handlers)) == before


def test_a_record_is_written_as_it_was_when_it_was_logged(file):
    numbers = [1]
    with Logs(LogSettings(file=file)):
        for _ in range(200):
            log.info("numbers %s", numbers)
            numbers[0] += 1
    assert "numbers [1]" in file.read_text().splitlines()[0]
    assert "numbers [200]" in file.read_text().splitlines()[-1]


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer {}",
        "header bearer {} was sent",
        "token={} was sent",
        '"token": "{}"',
        "password: {}",
        "api_key={}&x=1",
    ],
)
@pytest.mark.parametrize("form", ["json", "console"])
def test_what_looks_like_a_token_is_blotted_out(file, text, form):
    secret = "s3cr3t-Value_0123456789"
    with Logs(LogSettings(format=form, file=file)):
        log.info(text.format(secret))
        log.info("second", extra={"detail": text.format(secret)})
        try:
            raise ValueError(text.format(secret))  # noqa: TRY301  # the traceback is the point
        except ValueError:
            log.exception("third")
    written = file.read_text()
    assert written.count("[secret]") >= 3
    assert secret not in written


def test_a_registered_secret_is_blotted_out_wherever_it_stands(file):
    with Logs(LogSettings(format="json", file=file)) as logs:
        logs.secrets.add("hunter2hunter2")
        log.info("x hunter2hunter2 y", extra={"other": ["hunter2hunter2"]})
    assert "hunter2" not in file.read_text()


@pytest.mark.parametrize("text", ["the token was wrong", "bearer", "no password set", "12 tokens: none left"])
def test_innocent_words_are_left_alone(text):
    assert Secrets().blot(text) == text


def test_a_full_queue_drops_records_and_never_waits():
    handler = BoundedQueueHandler(queue.Queue(2))
    started = time.monotonic()
    for number in range(1000):
        handler.handle(record(f"{number}"))
    assert time.monotonic() - started < 5
    assert handler.dropped == 998


def test_the_number_of_dropped_records_is_told_when_there_is_room():
    records = queue.Queue(2)
    handler = BoundedQueueHandler(records)
    for number in range(5):
        handler.handle(record(f"{number}"))
    records.get_nowait()
    records.get_nowait()
    handler.handle(record("after"))
    assert records.get_nowait().getMessage() == "3 log records were dropped: the queue was full"
    assert records.get_nowait().getMessage() == "after"


def test_drops_are_told_at_closing_even_when_nothing_follows(file, monkeypatch):
    gate = threading.Event()
    emit = RotatingFile.emit

    def slow(self, entry):
        gate.wait(10)
        emit(self, entry)

    monkeypatch.setattr(RotatingFile, "emit", slow)
    logs = Logs(LogSettings(file=file), queue_records=5)
    for number in range(50):
        log.info("%d", number)
    gate.set()
    assert logs.dropped >= 40
    logs.close()
    assert file.read_text().splitlines()[-1].endswith("log records were dropped: the queue was full")


def test_a_file_is_closed_at_its_length_and_only_so_many_are_kept(tmp_path):
    handler = RotatingFile(tmp_path / "a.log", max_bytes=100, max_files=2, max_days=30)
    for _ in range(20):
        handler.handle(record("x" * 60))
    handler.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "a.log.1", "a.log.2"]


def test_a_file_is_closed_at_midnight_utc(tmp_path):
    handler = RotatingFile(tmp_path / "a.log", max_bytes=10_000, max_files=5, max_days=30)
    for created in (86_399.0, 86_400.0, 86_401.0, 86_399.5):
        handler.handle(record(f"at {created}", created))
    handler.close()
    assert (tmp_path / "a.log.1").read_text() == "at 86399.0\n"
    assert (tmp_path / "a.log").read_text() == "at 86400.0\nat 86401.0\nat 86399.5\n"


def test_a_file_of_an_earlier_day_is_closed_at_the_first_record(tmp_path):
    path = tmp_path / "a.log"
    path.write_text("old\n")
    os.utime(path, (86_399, 86_399))
    handler = RotatingFile(path, max_bytes=10_000, max_files=5, max_days=36_500)
    handler.handle(record("new", 86_400.0))
    handler.close()
    assert (tmp_path / "a.log.1").read_text() == "old\n"
    assert path.read_text() == "new\n"


def test_closed_files_go_when_they_are_too_old_or_too_many(tmp_path):
    for number in (1, 2, 3, 9):
        (tmp_path / f"a.log.{number}").write_text("closed")
    os.utime(tmp_path / "a.log.2", (0, time.time() - 31 * 86_400))
    (tmp_path / "a.log.notes").write_text("not ours")
    RotatingFile(tmp_path / "a.log", max_bytes=10_000, max_files=5, max_days=30).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "a.log.1", "a.log.3", "a.log.notes"]


def test_a_log_file_that_cannot_be_opened_is_told(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(LogError, match=r"taken/taped\.log cannot be opened") as error:
        Logs(LogSettings(file=tmp_path / "taken" / "taped.log"))
    assert "log.file" in error.value.hint


def test_a_file_that_cannot_be_written_is_told_once_and_stops_nothing(tmp_path, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    handler = RotatingFile(tmp_path / "a.log", max_bytes=10_000, max_files=5, max_days=30)
    handler.stream.close()
    handler.handle(record("lost"))
    handler.handle(record("lost too"))
    assert stream.getvalue().count("log file") == 1
    monkeypatch.undo()
    handler.stream = None
    handler.close()


def test_the_daemon_logs_through_a_bounded_queue():
    assert 100 <= logs_module.QUEUE_RECORDS <= 100_000
