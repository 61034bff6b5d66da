from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from aiohttp import web

from daemon.api.access import Access
from daemon.api.app import create_app
from daemon.api.serving import serve
from daemon.engine import Engine
from daemon.hardware.sensors import SENSORS
from daemon.journal.writer import JournalWriter
from daemon.readmodel.projector import Projector
from daemon.readmodel.queries import ReadModelQueries
from daemon.settings import ApiSettings
from daemon.trading.core import Core
from daemon.venue.paper import PaperVenue
from schemas.events import (
    AssetClass,
    CancelRequested,
    InstrumentDefined,
    OperatorCommand,
    OrderRequested,
    OrderType,
    Quote,
    SensorsRead,
    Side,
    Trade,
)

START = 1_700_000_000_000_000_000


def instrument(number: int, symbol: str) -> InstrumentDefined:
    return InstrumentDefined(
        ts_ns=START,
        instrument_id=number,
        symbol=symbol,
        venue="SIM",
        asset_class=AssetClass.CRYPTO,
        base_currency=symbol[:3],
        quote_currency="USDT",
        price_scale=2,
        quantity_scale=5,
    )


def market(step: int) -> list[Quote | Trade]:
    """Ticks of one step of a random walk that starts at 60,000.00, a second after the one before."""
    price = 6_000_000 + sum(random.Random(number).randint(-90, 100) for number in range(step))
    ts_ns = START + step * 10**9
    quote = Quote(
        ts_ns=ts_ns,
        received_ns=ts_ns,
        instrument_id=1,
        bid_price=price - 5,
        bid_quantity=10**6,
        ask_price=price + 5,
        ask_quantity=10**6,
    )
    return [quote, Trade(ts_ns=ts_ns, received_ns=ts_ns, instrument_id=1, price=price, quantity=900 + step)]


class Machine:
    """A Raspberry Pi at 52.4 °C; `told` is what changes of that."""

    parts: dict[str, object] = {}  # noqa: RUF012  # never changed
    readings: dict[str, float | int | None] = {}  # noqa: RUF012  # never changed
    duty = 30
    hot = False

    def __init__(self) -> None:
        self.told: dict[str, object] = {}
        self.sensors: dict[str, float | int | None] = dict.fromkeys(SENSORS) | {"cpu_celsius": 52.4}

    def reasons(self) -> list[str]:
        return []

    def document(self) -> dict[str, object]:
        document = {
            "readings": self.sensors,
            "governor": "ondemand",
            "throttled": "no",
            "fan": {"kind": "gpiozero", "duty_percent": 30, "reason": "cpu at 52.4 °C"},
            "hot": False,
            "parts": {},
            "reasons": [],
        }
        return document | self.told


class Served:
    """A daemon that serves the page while prices walk."""

    def __init__(self, engine: Engine, url: str, runner: web.AppRunner, machine: Machine) -> None:
        self.engine = engine
        self.machine = machine
        self.url = url
        self.runner = runner

    async def order(
        self, *, quantity: int = 50_000, price: int | None = None, stop_price: int | None = None
    ) -> int:
        """Place a purchase at the market, at a limit, or at a stop; return its id."""
        at_once = OrderType.MARKET if price is None else OrderType.LIMIT
        request = OrderRequested(
            ts_ns=START,
            instrument_id=1,
            side=Side.BUY,
            order_type=at_once if stop_price is None else OrderType.STOP,
            quantity=quantity,
            price=price,
            stop_price=stop_price,
            source="operator:t",
        )
        return (await self.engine.execute([request])).first_seq


@pytest.fixture
async def served(tmp_path: Path):
    data = tmp_path / "data"
    data.mkdir()
    writer = JournalWriter.open(data / "journal", segment_bytes=1 << 20)
    projector = Projector(data / "readmodel.db", data / "journal")
    projector.start()
    engine = Engine(Core(writer.journal_id), writer, PaperVenue(maker_fee_ppm=100, taker_fee_ppm=200))
    engine.subscribe(lambda batch: projector.offer(batch.first_seq, batch.events))
    cash = {"currency": "USDT", "amount": "9000000"}
    deposit = OperatorCommand(ts_ns=START, who="t", role="admin", command="account.deposit", arguments=cash)
    await engine.execute([instrument(1, "BTC-USDT"), instrument(2, "<b>ETH</b>"), deposit])
    for step in range(40):
        await engine.publish(market(step))
    queries = ReadModelQueries(data / "readmodel.db")
    settings = ApiSettings(port=0)
    access = await Access.open(data)
    machine = Machine()
    app = create_app(engine, queries, access, projection=projector, settings=settings, machine=machine)
    runner, url = await serve(app, settings)

    async def walk() -> None:
        for step in range(40, 10_000):
            await engine.publish(market(step))
            await asyncio.sleep(0.02)

    walking = asyncio.ensure_future(walk())
    yield Served(engine, url, runner, machine)
    walking.cancel()
    await runner.cleanup()
    queries.close()
    await engine.close([], timeout_s=5)
    await asyncio.sleep(0)
    await asyncio.to_thread(projector.stop)


LAST = "document.querySelector('#prices .last span')?.textContent"
SEQ = "Number(document.getElementById('seq').textContent.replaceAll(',', ''))"


async def test_prices_and_seq_move_on_the_page_and_nothing_is_asked_of_others(page, served) -> None:
    await page.open(f"{served.url}/")
    first = await page.until(LAST)
    seq = await page.run(SEQ)
    await page.until(f"{LAST} !== {first!r}")
    await page.until(f"{SEQ} > {seq}")
    await page.until("/[0-9]/.test(document.getElementById('rate').textContent)")
    assert await page.run("document.getElementById('connection').dataset.state") == "live"
    assert await page.run("document.getElementById('notice').hidden")
    assert all(url.startswith(served.url) for url in page.requested)
    assert page.errors == []


async def test_an_order_its_fill_and_the_position_appear_without_reloading(page, served) -> None:
    await page.open(f"{served.url}/")
    await page.until(LAST)
    await served.order()
    await page.until("document.querySelector('#orders tr')?.innerText.includes('filled')")
    assert "0.5" in await page.until("document.querySelector('#fills tr')?.innerText")
    assert "long" in await page.until("document.querySelector('#positions tr')?.innerText")
    await page.until("document.getElementById('equity').textContent.includes('USDT')")


async def test_a_stop_order_shows_its_stop(page, served) -> None:
    await page.open(f"{served.url}/")
    await page.until(LAST)
    await served.order(stop_price=7_000_000)
    shown = await page.until("document.querySelector('#orders tr')?.innerText")
    assert "70,000.00" in shown
    assert "stop" in shown.split("70,000.00")[1]


async def test_names_from_the_market_are_text_and_never_markup(page, served) -> None:
    await page.open(f"{served.url}/")
    await page.until(LAST)
    assert "<b>ETH</b>" in await page.run("document.getElementById('chart-instrument').innerText")
    assert await page.run("document.querySelectorAll('b').length") == 0


async def test_the_chart_shows_bars_of_the_chosen_length(page, served) -> None:
    await page.open(f"{served.url}/")
    assert "open 60,0" in await page.until("document.getElementById('chart-summary').textContent")
    pressed = "document.querySelector('[aria-pressed=true]').dataset.interval"
    assert await page.run(pressed) == "1s"
    await page.run("document.querySelector('[data-interval=\"1min\"]').click()")
    await page.until(f"{pressed} === '1min'")
    assert await page.run("document.querySelectorAll('#plot canvas').length") >= 1
    assert page.errors == []


async def test_a_lost_daemon_is_told_in_words_and_found_again(page, served) -> None:
    await page.open(f"{served.url}/")
    await page.until(LAST)
    await served.runner.cleanup()
    notice = await page.until(
        "!document.getElementById('notice').hidden && document.getElementById('notice').innerText"
    )
    assert "What is shown may be old" in notice
    assert await page.run("document.getElementById('connection').innerText") == "No connection"


async def test_without_a_connection_nothing_looks_current_and_no_bars_are_asked_for(page, served) -> None:
    await page.open(f"{served.url}/")
    await page.until(LAST)
    pill = "document.getElementById('trading')"
    green = await page.run(f"getComputedStyle({pill}.querySelector('.dot')).backgroundColor")
    await page.until(f"{pill}.innerText === 'Trading active'")
    await served.runner.cleanup()
    await page.until("document.getElementById('connection').innerText === 'No connection'")
    assert await page.run(f"{pill}.innerText") == "Trading: not known"
    assert await page.run(f"getComputedStyle({pill}.querySelector('.dot')).backgroundColor") != green
    await page.until("Number(getComputedStyle(document.querySelector('main')).opacity) < 0.7")
    page.requested.clear()
    await asyncio.sleep(2.5)
    assert [url for url in page.requested if "/api/" in url] == []


async def test_working_orders_stand_on_top_of_newer_ones_that_are_over(page, served) -> None:
    await page.open(f"{served.url}/")
    await page.until(LAST)
    first = await served.order(price=5_000_000)
    await served.order()
    second = await served.order(price=5_100_000)
    newest = await served.order()
    ids = (
        "[...document.querySelectorAll('#orders tr')].map((row) => row.children[1].innerText.split('\\n')[0])"
    )
    await page.until(f"{ids}.length === 4 && {ids}[0] === '#{second}'")
    assert (await page.run(ids))[:3] == [f"#{second}", f"#{first}", f"#{newest}"]
    assert await page.run("document.querySelectorAll('#orders tr.works').length") == 2
    cancel = CancelRequested(ts_ns=START, order_id=second, source="operator:t")
    await served.engine.execute([cancel])
    await page.until(f"{ids}[0] === '#{first}' && {ids}[1] === '#{newest}'")


@pytest.mark.parametrize(
    ("text", "shown", "tone"),
    [
        ("0.001", "0.00", ""),
        ("-0.009", "0.00", ""),
        ("-0.01", "−0.01", "down"),  # noqa: RUF001  # the minus sign that the page shows
        ("0.01", "+0.01", "up"),
        ("1234567.899", "+1,234,567.89", "up"),
        ("0", "0.00", ""),
    ],
)
async def test_sign_and_colour_of_money_are_those_of_the_shown_text(page, served, text, shown, tone) -> None:
    await page.open(f"{served.url}/")
    asked = f"import('/static/format.js').then((it) => [it.gain('{text}'), it.tone('{text}')])"
    assert await page.run(asked) == [shown, tone]


async def test_it_is_written_on_the_page_since_when_prices_changed(page, served) -> None:
    await page.open(f"{served.url}/", width=390)
    header = "document.querySelector('.prices header').innerText"
    assert "since this page was opened" in await page.run(header)


async def test_long_rows_fit_a_phone_and_keep_off_the_edge_of_their_card(page, served) -> None:
    await page.open(f"{served.url}/", width=390, height=844)
    await page.until(LAST)
    await served.order(quantity=12_345_678)
    await served.order(quantity=12_345, price=5_000_000)
    await served.order(quantity=999_999_999, price=5_000_000)
    await page.until("document.querySelectorAll('#orders tr').length === 3")
    await page.until("document.querySelectorAll('#fills tr').length >= 1")
    for name in ("orders", "fills"):
        scroll = f"document.querySelector('.{name} .scroll')"
        assert await page.run(f"{scroll}.scrollWidth - {scroll}.clientWidth") == 0, name
        gap = f"""[...document.querySelectorAll('#{name} tr')].map((row) => {{
            const shown = [...row.children].filter((cell) => cell.offsetWidth).at(-1);
            return parseFloat(getComputedStyle(shown).paddingRight);
        }})"""
        assert min(await page.run(gap)) >= 12, name


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (360, "light"), (768, "dark"), (1280, "light")])
async def test_the_page_fits_the_width_of_phone_and_desktop(page, served, width, scheme) -> None:
    await page.open(f"{served.url}/", width=width, height=844, scheme=scheme)
    await page.until(LAST)
    assert await page.run("document.documentElement.scrollWidth") <= width
    ground = await page.run("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(15, 18, 21)") == (scheme == "dark")


async def test_everything_that_can_be_used_has_a_name_and_can_be_reached_by_keyboard(page, served) -> None:
    await page.open(f"{served.url}/")
    await page.until(LAST)
    nameless = """[...document.querySelectorAll('button, select, a, [role=region]')].filter((element) =>
        !(element.getAttribute('aria-label') || element.getAttribute('aria-labelledby')
          || element.labels?.length || element.innerText.trim())).length"""
    assert await page.run(nameless) == 0
    assert await page.run("document.querySelectorAll('th:not([scope])').length") == 0
    assert await page.run("document.querySelectorAll('h2').length") >= 10
    assert await page.run("document.documentElement.lang") == "en"


MACHINE = """Object.fromEntries([...document.querySelectorAll('#machine tr')].filter((row) => !row.hidden)
    .map((row) => [row.cells[0].innerText, row.cells[1].innerText.split('\\n')]))"""


async def test_the_machine_is_shown_as_far_as_it_tells_and_what_is_bad_is_marked(page, served) -> None:
    await page.open(f"{served.url}/")
    await page.until(f"{MACHINE}.Processor?.[0] === '52.4 °C'")
    shown = await page.run(MACHINE)
    assert shown["Fan"] == ["30 %", "cpu at 52.4 °C"]
    assert shown["Held back"] == ["no"]
    assert "NVMe drive" not in shown
    served.machine.sensors = served.machine.sensors | {"cpu_celsius": 83.0, "nvme_celsius": 44.0}
    served.machine.told = {"throttled": "under-voltage now"}
    await page.until(f"{MACHINE}['NVMe drive']?.[0] === '44.0 °C'")
    marked = "[...document.querySelectorAll('#machine .down')].map((text) => text.innerText)"
    assert await page.run(marked) == ["83.0 °C", "under-voltage now"]


async def test_the_line_of_the_machine_begins_with_what_the_sensors_said_before(page, served) -> None:
    for celsius in (40.0, 50.0, None, 60.0):
        await served.engine.execute([SensorsRead(ts_ns=START, readings={"cpu_celsius": celsius})])
    await page.open(f"{served.url}/")
    await page.until(f"{MACHINE}.Processor?.[0] === '52.4 °C'")
    await page.until("document.querySelector('#machine canvas').width === 120")
    drawn = """(() => { const { width, height } = document.querySelector('#machine canvas');
        const context = document.querySelector('#machine canvas').getContext('2d');
        return context.getImageData(0, 0, width, height).data.some((byte) => byte); })()"""
    assert await page.until(drawn)
