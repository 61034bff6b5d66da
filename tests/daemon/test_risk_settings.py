"""The section `risk` of the settings: every limit of the core, told early where it cannot be."""

from __future__ import annotations

import dataclasses
import re

import pytest

from daemon.config import load, risk_limits
from daemon.config_values import ConfigError
from daemon.settings import RiskSettings
from daemon.trading.core import Core
from daemon.trading.risk.limits import KEYED, KINDS, Limits, configured_limits, limits_of
from schemas.events import DaemonStarted


@pytest.fixture
def write(tmp_path):
    def write_file(text: str):
        file = tmp_path / "taped.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write_file


def in_force(file, env=None) -> Limits:
    settings = risk_limits(load(file, env).settings.risk)
    started = DaemonStarted(ts_ns=0, daemon_version="", config_hash="", code_hash="", settings=settings)
    core = Core("ab" * 16)
    core.run([started])
    return core.risk.limits


def test_the_section_names_every_limit_of_the_core_and_no_other():
    assert {field.name for field in dataclasses.fields(RiskSettings)} == KINDS.keys() | KEYED.keys()


def test_without_a_word_the_limits_are_those_of_the_core_itself(write):
    assert risk_limits(RiskSettings()) == {}
    assert in_force(write("")) == Limits()


def test_limits_of_a_file_are_in_force_in_the_core(write):
    file = write(
        "[risk]\nmax_order_value = '1000.5'\nmargin = true\nday_zone = 'Asia/Tokyo'\nlow_profit = '-5'\n"
        "max_order_quantity = { BTC-USDT = '0.5', '*' = '10' }\nmin_cash = { USDT = '100' }\n"
        "initial_margin_ppm = { crypto = 500_000 }\n"
    )
    assert in_force(file) == Limits(
        max_order_value=1000 * 10**18 + 5 * 10**17,
        margin=True,
        day_zone="Asia/Tokyo",
        low_profit=-5 * 10**18,
        max_order_quantity={"BTC-USDT": 5 * 10**17, "*": 10 * 10**18},
        min_cash={"USDT": 100 * 10**18},
        initial_margin_ppm={"crypto": 500_000},
    )


def test_limits_may_come_from_the_environment(write):
    env = {
        "TAPED_RISK__MAX_ORDER_QUANTITY": "BTC-USDT=0.5,*=10",
        "TAPED_RISK__INITIAL_MARGIN_PPM": "crypto=250000",
        "TAPED_RISK__MAX_ORDERS_PER_MINUTE": "5",
        "TAPED_RISK__MARGIN": "yes",
    }
    limits = in_force(write(""), env)
    assert (limits.max_order_quantity["*"], limits.initial_margin_ppm) == (10**19, {"crypto": 250_000})
    assert (limits.max_orders_per_minute, limits.margin) == (5, True)


def test_nothing_switches_a_limit_off(write):
    assert (
        in_force(write("[risk]\nmax_order_value = ''\nmax_orders_per_day = 0\nmargin = false\n")) == Limits()
    )


@pytest.mark.parametrize(
    ("text", "key", "told"),
    [
        ("max_order_value = '0'", "risk.max_order_value", "expected decimal text above zero"),
        ("max_order_value = 5", "risk.max_order_value", "expected decimal text above zero"),
        ("max_orders_per_minute = 10_001", "risk.max_orders_per_minute", "an integer from 1 to 10000"),
        ("max_orders_per_minute = -1", "risk.max_orders_per_minute", "an integer from 1 to 10000"),
        ("stop_guard_window_s = 0", "risk.stop_guard_window_s", "an integer from 1 to"),
        ("on_margin = 'sell'", "risk.on_margin", "deny, reduce or halt"),
        ("day_zone = 'Mars'", "risk.day_zone", "an IANA time zone"),
        ("max_order_quantity = '5'", "risk.max_order_quantity", "expected a table"),
        ("max_order_quantity = { A = 5 }", "risk.max_order_quantity.A", "expected decimal text above zero"),
        ("min_cash = { USD = '-5' }", "risk.min_cash.USD", "expected decimal text above zero"),
        ("initial_margin_ppm = { A = '5' }", "risk.initial_margin_ppm.A", "an integer from 1 to"),
        ("initial_margin_ppm = { A = [1] }", "risk.initial_margin_ppm.A", "an integer from 1 to"),
        ("max_order_quantit = 1", "risk.max_order_quantit", "did you mean risk.max_order_quantity?"),
    ],
)
def test_a_limit_that_cannot_be_is_told_with_its_place(write, text, key, told):
    with pytest.raises(ConfigError, match=re.escape(told)) as error:
        load(write(f"[risk]\n{text}\n"))
    assert error.value.key == key


def test_what_a_start_records_is_read_back_as_it_was(write):
    settings = risk_limits(load(write("[risk]\nmax_exposure = '7'\nmin_cash = { A1 = '2' }\n")).settings.risk)
    assert settings == {"risk.max_exposure": "7", "risk.min_cash.A1": "2"}
    assert limits_of(configured_limits(settings)) == Limits(
        max_exposure=7 * 10**18, min_cash={"A1": 2 * 10**18}
    )
