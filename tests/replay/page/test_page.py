from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import msgspec
import pytest

from replay.backtest import BacktestResult
from replay.document import document
from replay.page import page
from replay.page.charts import Line, line_chart, thinned
from replay.page.tables import monthly
from replay.recorder import Recorder, Recording
from replay.report import measure_recording
from replay.run import run_spec
from replay.source import DataIdentity, open_source
from replay.spec import BacktestSpec
from tests.replay.recordings import SECOND, START, instrument, trade, write_journal

DAY = 86_400 * SECOND


def report_of(data, **fields) -> tuple[dict, Recording]:
    spec = BacktestSpec(
        data=(str(data),), strategy="ma_cross", parameters={"fast": 2, "slow": 4, "quantity": "3"}, **fields
    )
    source, recorder = open_source(spec), Recorder()
    result = run_spec(spec, source=source, recorder=recorder)
    recording = recorder.finish()
    measures = measure_recording(recording, rounds=50)
    return document(spec, source.identity(), result, recording, measures), recording


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    data = write_journal(tmp_path_factory.mktemp("data"), [instrument()], [trade(n) for n in range(400)])
    return report_of(data)


class Tags(HTMLParser):
    """Checks that tags are closed in their order; collects attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def parsed(text) -> Tags:
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    return tags


def test_a_page_asks_for_nothing_from_outside(report):
    text = page(*report)
    assert "default-src 'none'" in text
    assert not re.search(r"https?://|//cdn|@import|url\(", text)
    asked = [(name, value) for name, value in parsed(text).attributes if name in ("src", "href")]
    assert asked == [("href", "data:,")]


def test_a_page_shows_every_drawing(report):
    titles = re.findall(r"<figcaption>([^<]*)", page(*report))
    assert titles == [
        "Equity, USD",
        "Drawdown",
        "Exposure, share of equity",
        "I1@V, USD",
        "Growth by minute",
        "Round trips by profit after fees, USD",
    ]


def test_every_drawing_tells_in_words_what_it_shows(report):
    labels = re.findall(r'<svg[^>]* role="img" aria-label="([^"]+)"', page(*report))
    assert len(labels) == 6
    assert labels[0].startswith("Equity, USD: from 100,000 to ")


def test_the_same_run_makes_the_same_page(report):
    assert page(*report) == page(*report)


def test_text_from_outside_is_no_markup(report):
    body, recording = report
    evil = "</script><img src=x onerror=alert(1)>"
    told = {**body, "stopped": {evil: evil}, "instruments": [evil]}
    told["report"] = {**body["report"], "currency": evil}
    named = msgspec.structs.replace(recording.instruments[0], symbol=evil)
    text = page(told, replace(recording, currency=evil, instruments=[named]))
    assert "<img" not in text
    assert text.count("</script>") == 2
    assert "onerror" not in [name for name, _ in parsed(text).attributes]


def test_a_run_in_which_nothing_was_recorded_has_a_page():
    spec = BacktestSpec(data=("x",), strategy="none")
    nothing = DataIdentity(first_seq=1, last_seq=0)
    measures = measure_recording(Recording())
    text = page(document(spec, nothing, BacktestResult(), Recording(), measures), Recording())
    assert "Nothing was recorded." in parsed(text).text


def test_notes_say_what_the_reader_must_know(report):
    body, recording = report
    told = {**body, "partial": True, "report": {**body["report"], "unknown_currencies": ["JPY"]}}
    shown = parsed(page(told, recording)).text
    assert "this is the result of a part" in shown
    assert "No price leads to USD from JPY." in shown


def test_a_run_of_months_has_a_table_of_them(data_folder):
    write_journal(data_folder, [instrument()], [trade(n, every=DAY // 4) for n in range(400)])
    text = page(*report_of(data_folder))
    assert "Growth by month, %" in text
    assert "<figcaption>Growth by" not in text


def test_the_growth_of_months_begins_where_the_month_before_ended():
    day = 86_400 * SECOND
    february = 1_391_212_800 * SECOND  # 2014-02-01
    growth = [(february - 40 * day, 1.0), (february - 20 * day, 1.1), (february, 1.2), (february + day, 1.5)]
    found = monthly(growth)
    assert found == {(2013, 12): 0.0, (2014, 1): pytest.approx(0.2), (2014, 2): pytest.approx(0.25)}


def test_a_thinned_line_keeps_its_ends_and_extremes():
    values = [float(n % 97) for n in range(10_000)]
    values[5_003], values[7_001] = -50.0, 500.0
    line = thinned(Line(list(range(10_000)), values))
    assert len(line.times) <= 1_504
    assert (line.times[0], line.times[-1]) == (0, 9_999)
    assert (min(line.values), max(line.values)) == (-50.0, 500.0)
    assert line.times == sorted(set(line.times))


def test_times_of_the_script_are_in_milliseconds(report):
    lines = msgspec.json.decode(re.search(r'id="lines">(.*?)</script>', page(*report))[1])
    assert lines["line0"]["times"][0] == START // 10**6
    assert lines["line0"]["values"][0] == 100_000


def test_of_too_many_fills_some_of_both_sides_are_drawn(tmp_path):
    data = write_journal(tmp_path, [instrument()], [trade(n) for n in range(90_000)])
    _, recording = report_of(data)
    assert recording.fills_step == 3
    sides = Counter(fill.side for fill in recording.fills)
    assert abs(sides[1] - sides[-1]) <= 1


def test_a_value_that_holds_until_the_next_is_drawn_as_steps():
    chart = line_chart("x", Line([0, 10], [1.0, 3.0]), name="line0", stepped=True)
    assert re.search(r'class="line" d="M0.0 [0-9.]+H1000.0V[0-9.]+"', chart)
