"""Devices on named pin factories: what the libraries do by themselves, each trap with its answer."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from functools import partial
from pathlib import Path

import pytest
from gpiozero import Device
from gpiozero.exc import PinInvalidState
from gpiozero.pins.local import LocalPiFactory
from gpiozero.pins.mock import MockFactory, MockPWMPin

from daemon.hardware.errors import HardwareError
from daemon.hardware.fans import PERIOD_NS, PinFan, PwmFan
from daemon.hardware.lamps import LampDevice
from daemon.hardware.leds import DARK, RED, YELLOW
from daemon.hardware.pins import Pins, import_library, open_factory, whole_percent
from daemon.hardware.wiring import Lamp

FAKE = Path(__file__).parent


@pytest.fixture
def lgpio(monkeypatch, tmp_path):
    """The fake library, not yet imported, for a Pi 5; the working directory is an empty folder."""
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    (tmp_path / "path").mkdir()
    (tmp_path / "path/lgpio.py").symlink_to(FAKE / "fake_lgpio.py")
    for name in ("lgpio", "gpiozero.pins.lgpio"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("LG_WD", raising=False)
    (tmp_path / "machine/dev").mkdir(parents=True)
    (tmp_path / "machine/dev/gpiochip0").touch()
    yield lambda: sys.modules["lgpio"]
    for name in ("lgpio", "gpiozero.pins.lgpio"):
        sys.modules.pop(name, None)


@pytest.fixture
def pins(lgpio, tmp_path, monkeypatch):
    """Pins on the fake library."""
    import_library("lgpio")
    monkeypatch.setattr(LocalPiFactory, "_get_revision", lambda _: 0xD04170)
    monkeypatch.setattr(LocalPiFactory, "pins", {})
    return Pins(partial(open_factory, "lgpio", tmp_path / "machine"))


@pytest.fixture
def mock():
    """gpiozero's own mock, as a Pi 5, and pins on it."""
    factory = MockFactory(revision="d04170", pin_class=MockPWMPin)
    return factory, Pins(lambda: factory)


# --- the import -------------------------------------------------------------------------------


def test_importing_the_library_leaves_the_working_directory_as_it_was(lgpio, tmp_path):
    import_library("lgpio")
    assert Path.cwd() == tmp_path / "work"
    assert list(Path.cwd().iterdir()) == []
    assert "LG_WD" not in os.environ
    assert lgpio().calls == []


def test_the_folder_of_the_librarys_pipe_is_gone_after_the_import(lgpio, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    import_library("lgpio")
    assert not list(tmp_path.glob("taped-lgpio-*"))


def test_a_working_folder_that_the_caller_has_set_stays_set(lgpio, monkeypatch, tmp_path):
    monkeypatch.setenv("LG_WD", str(tmp_path))
    import_library("lgpio")
    assert os.environ["LG_WD"] == str(tmp_path)
    assert not (tmp_path / ".lgd-nfy0").exists()


def test_a_library_that_is_missing_is_an_error_with_what_to_install_and_no_fallback(monkeypatch):
    monkeypatch.setitem(sys.modules, "lgpio", None)
    monkeypatch.delitem(sys.modules, "gpiozero.pins.lgpio", raising=False)
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(HardwareError, match="adafruit-lgpio"):
            import_library("lgpio")


def test_no_device_ever_asks_for_the_default_factory(pins, monkeypatch):
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "no-such-factory")
    pins.open("LED", 17)
    pins.open("PWMOutputDevice", 18)
    pins.open("InputDevice", 6, pull_up=True)
    assert Device.pin_factory is None


# --- errors at the start ----------------------------------------------------------------------


def test_a_machine_without_pins_is_told(lgpio, tmp_path):
    (tmp_path / "machine/dev/gpiochip0").unlink()
    with pytest.raises(HardwareError, match="this machine has no pins"):
        open_factory("lgpio", tmp_path / "machine")


def test_missing_permission_is_told_with_the_group(lgpio, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(HardwareError, match="group gpio"):
        open_factory("lgpio", tmp_path / "machine")


def test_a_pin_that_another_program_holds_is_told_by_its_number(pins, lgpio):
    lgpio().busy.add(18)
    with pytest.raises(HardwareError, match="GPIO18 is in use by another program; `gpioinfo`"):
        PinFan(pins, 18, hz=50, inverted=False)
    lgpio().busy.clear()
    PinFan(pins, 18, hz=50, inverted=False)


def test_a_pin_that_is_none_is_told(pins):
    with pytest.raises(HardwareError, match="GPIO99 failed"):
        pins.open("LED", 99)


# --- duty -------------------------------------------------------------------------------------


def test_every_duty_reaches_the_library_whole(pins, lgpio):
    fan = PinFan(pins, 18, hz=50, inverted=False)
    for duty in range(101):
        fan.set(duty)
        assert lgpio().calls[-1] == ("tx_pwm", 18, 50, duty)


def test_every_duty_of_a_fan_that_a_low_pin_drives_reaches_the_library_whole(pins, lgpio):
    fan = PinFan(pins, 18, hz=50, inverted=True)
    for duty in range(101):
        fan.set(duty)
        assert lgpio().calls[-1] == ("tx_pwm", 18, 50, 100 - duty)


def test_plain_hundredths_would_lose_a_percent():
    lost = [duty for duty in range(101) if int(duty / 100 * 100) != duty]
    assert lost == [29, 57, 58]
    assert all(int(whole_percent(duty) * 100) == duty for duty in range(101))


def test_a_fan_is_at_full_speed_before_anything_is_known(pins, lgpio):
    PinFan(pins, 18, hz=25, inverted=False)
    assert lgpio().lines[18] == (25, 100)


def test_the_mock_sees_the_same_fan(mock):
    factory, pins = mock
    fan = PinFan(pins, 18, hz=50, inverted=False)
    fan.set(29)
    pin = factory.pin(18)
    assert (pin.function, pin.frequency, int(pin.state * 100)) == ("output", 50, 29)


# --- giving up --------------------------------------------------------------------------------


def test_closing_a_device_makes_its_line_float(pins, lgpio):
    device = pins.open("LED", 17)
    pins.discard(device)
    assert lgpio().lines[17] == "floating"


@pytest.mark.parametrize("inverted", [False, True])
def test_a_fan_that_is_released_stays_driven_to_full_speed(pins, lgpio, inverted):
    fan = PinFan(pins, 18, hz=50, inverted=inverted)
    fan.set(30)
    fan.release()
    assert lgpio().lines[18] == int(not inverted)
    del fan, pins
    gc.collect()
    assert lgpio().lines[18] == int(not inverted), "garbage must not close the pin either"


def test_a_pin_whose_chip_failed_can_be_opened_again_with_a_fresh_handle(pins, lgpio):
    fan = PinFan(pins, 18, hz=50, inverted=False)
    lgpio().broken.append("bad handle")
    with pytest.raises(PinInvalidState):
        fan.set(50)
    fan.discard()
    lgpio().broken.clear()
    opened = len([call for call in lgpio().calls if call[0] == "gpiochip_open"])
    fan = PinFan(pins, 18, hz=50, inverted=False)
    fan.set(50)
    assert lgpio().lines[18] == (50, 50)
    assert len([call for call in lgpio().calls if call[0] == "gpiochip_open"]) == opened + 1


def test_one_device_that_failed_leaves_the_others_their_handle(pins, lgpio):
    led = pins.open("LED", 17)
    fan = PinFan(pins, 18, hz=50, inverted=False)
    fan.discard()
    led.value = 1
    assert lgpio().lines[17] == 1
    assert not [call for call in lgpio().calls if call[0] == "gpiochip_close"]


# --- LEDs -------------------------------------------------------------------------------------


def test_an_led_of_three_pins_shows_the_colour_and_one_of_one_pin_that_it_is_lit(pins, lgpio):
    rgb = LampDevice(pins, Lamp("all", (17, 27, 22)), inverted=False, dimmed=False)
    single = LampDevice(pins, Lamp("error", (5,)), inverted=False, dimmed=False)
    rgb.show(YELLOW, 100)
    single.show(YELLOW, 100)
    assert [lgpio().lines[pin] for pin in (17, 27, 22, 5)] == [1, 1, 0, 1]
    rgb.show(DARK, 100)
    single.show(DARK, 100)
    assert [lgpio().lines[pin] for pin in (17, 27, 22, 5)] == [0, 0, 0, 0]


def test_a_dimmed_led_is_pulsed_and_one_at_full_brightness_is_not(pins, lgpio):
    LampDevice(pins, Lamp("all", (5,)), inverted=False, dimmed=False).show(RED, 100)
    assert not [call for call in lgpio().calls if call[0] == "tx_pwm"]
    LampDevice(pins, Lamp("error", (6,)), inverted=False, dimmed=True).show(RED, 29)
    assert lgpio().calls[-1] == ("tx_pwm", 6, 100, 29)


def test_what_is_shown_already_is_not_written_again(pins, lgpio):
    lamp = LampDevice(pins, Lamp("all", (5,)), inverted=False, dimmed=False)
    lamp.show(RED, 100)
    before = len(lgpio().calls)
    lamp.show(RED, 100)
    assert len(lgpio().calls) == before


@pytest.mark.parametrize(
    ("role", "lit"), [("all", [1, 0, 0]), ("error", [1, 0, 0]), ("heartbeat", [0, 0, 0])]
)
def test_an_led_that_tells_of_errors_is_left_lit_and_any_other_dark(pins, lgpio, role, lit):
    lamp = LampDevice(pins, Lamp(role, (17, 27, 22)), inverted=False, dimmed=False)
    lamp.release()
    assert [lgpio().lines[pin] for pin in (17, 27, 22)] == lit


def test_an_led_whose_last_pin_is_in_use_gives_the_others_back(pins, lgpio):
    lgpio().busy.add(22)
    with pytest.raises(HardwareError, match="GPIO22 is in use"):
        LampDevice(pins, Lamp("all", (17, 27, 22)), inverted=False, dimmed=False)
    lgpio().busy.clear()
    LampDevice(pins, Lamp("all", (17, 27, 22)), inverted=False, dimmed=False)


# --- the I/O chip's PWM -----------------------------------------------------------------------


def test_the_pwm_is_found_by_its_address_among_chips_of_any_number(board):
    other = board.root / "sys/class/pwm/pwmchip0"
    other.mkdir()
    (board.root / "sys/devices/platform/axi/1f0009c000.pwm").mkdir()
    (other / "device").symlink_to(board.root / "sys/devices/platform/axi/1f0009c000.pwm")
    fan = PwmFan(board.root, 2, inverted=False)
    assert board.pwm(2) == 1.0
    fan.set(35)
    assert board.pwm(2) == 0.35
    assert (board.root / "sys/class/pwm/pwmchip7/pwm2/period").read_text() == str(PERIOD_NS)
    fan.release()
    assert board.pwm(2) == 1.0


def test_a_fan_that_a_low_line_drives_is_told_to_the_chip(board):
    PwmFan(board.root, 0, inverted=True)
    assert (board.root / "sys/class/pwm/pwmchip7/pwm0/polarity").read_text() == "inversed"


def test_a_machine_whose_pwm_has_no_overlay_is_told_what_to_do(board):
    (board.root / "sys/class/pwm/pwmchip7/device").unlink()
    with pytest.raises(HardwareError, match=r"no PWM chip 1f00098000\.pwm; give the pin to it in /boot"):
        PwmFan(board.root, 2, inverted=False)


def test_a_pwm_that_may_not_be_written_is_told(board, monkeypatch):
    monkeypatch.setattr("daemon.hardware.fans._EXPORT_S", 0.05)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(HardwareError, match="may not be written by this user; add it to the group gpio"):
        PwmFan(board.root, 2, inverted=False)


def test_a_pwm_that_refuses_a_value_says_which(board):
    (board.root / "sys/class/pwm/pwmchip7/pwm2/period").unlink()
    (board.root / "sys/class/pwm/pwmchip7/pwm2/period").mkdir()
    with pytest.raises(HardwareError, match="period: '40000' cannot be written"):
        PwmFan(board.root, 2, inverted=False)
