"""What the settings of the hardware may say, and how wrong ones are told before any pin is touched."""

from __future__ import annotations

import pytest

from daemon.config import load
from daemon.config_values import ConfigError
from daemon.hardware.wiring import Lamp, needs_pins, wiring_of
from daemon.settings import HardwareSettings


def settings(**flags):
    return load(None, {}, {f"hardware.{name}": value for name, value in flags.items()}).settings.hardware


def test_without_settings_nothing_is_driven():
    plain = HardwareSettings()
    assert not needs_pins(plain)
    assert wiring_of(plain).lamps == ()
    assert wiring_of(plain).rules.steps == ((50, 30), (60, 50), (67, 75), (75, 100))


def test_leds_are_roles_and_pins():
    wiring = wiring_of(settings(leds=["all=17/27/22", "error=5"]))
    assert wiring.lamps == (Lamp("all", (17, 27, 22)), Lamp("error", (5,)))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"fan": "gpiozero", "fan_pin": 1}, "hardware.fan_pin: is 1, expected a GPIO number from 2 to 27"),
        ({"fan": "sysfs_pwm", "fan_pin": 17}, "hardware.fan_pin: is 17, which has no hardware PWM"),
        (
            {"fan": "gpiozero", "leds": ["all=18"]},
            "hardware.fan_pin: uses GPIO18, which hardware.leds uses too",
        ),
        ({"leds": ["all=17"], "button_pin": 17}, "hardware.button_pin: uses GPIO17"),
        ({"leds": ["all=17/17/22"]}, "hardware.leds: uses GPIO17"),
        ({"leds": ["all=17", "all=22"]}, "hardware.leds: has two LEDs for all"),
        ({"leds": ["lamp=17"]}, "roles are all, error, throttled, trading, sync, backup, heartbeat"),
        ({"leds": ["all=17/27"]}, "expected ROLE=PIN or ROLE=RED/GREEN/BLUE"),
        ({"leds": ["all=99999999999999999999"]}, "hardware.leds: is 9999, expected a GPIO number"),
        ({"button_pin": 1}, "hardware.button_pin: is 1"),
        ({"fan_sensors": ["gpu"]}, "hardware.fan_sensors: has 'gpu', expected cpu or nvme or rp1"),
        ({"fan_sensors": []}, "hardware.fan_sensors: is empty"),
        ({"fan_curve": []}, "hardware.fan_curve: has 0 steps"),
        ({"fan_curve": ["50=30", "45=50"]}, "has '45=50' after '50=30', expected it to rise"),
        ({"fan_curve": ["50=60", "60=50"]}, "expected it to rise"),
        ({"fan_curve": ["50=101"]}, "expected 1 to 100 percent"),
        ({"fan_curve": ["hot=30"]}, "expected CELSIUS=PERCENT such as 60=50"),
        ({"fan_hz": 20}, "hardware.fan_hz: is 20, expected an integer from 25 to 100"),
        ({"night": "22-7"}, "hardware.night: is '22-7', expected hours such as 22:00-07:00"),
        ({"night": "24:00-07:00"}, "hardware.night"),
        ({"fan": "pwm"}, "hardware.fan: is 'pwm', expected none or kernel or gpiozero or sysfs_pwm"),
    ],
)
def test_wrong_wiring_is_told_by_key_before_any_pin_is_touched(flags, told):
    with pytest.raises(ConfigError) as error:
        settings(**flags)
    assert told in str(error.value)


def test_a_fan_that_nothing_drives_needs_no_pin_of_its_own():
    assert not needs_pins(settings(fan="none", fan_pin=0))
    assert wiring_of(settings(fan="kernel", leds=["all=18"])).lamps


@pytest.mark.parametrize(
    ("night", "minute", "dark"),
    [
        ("22:00-07:00", 23 * 60, True),
        ("22:00-07:00", 6 * 60 + 59, True),
        ("22:00-07:00", 7 * 60, False),
        ("22:00-07:00", 12 * 60, False),
        ("01:30-05:00", 90, True),
        ("01:30-05:00", 89, False),
        ("none", 0, False),
    ],
)
def test_a_night_may_pass_midnight(night, minute, dark):
    assert wiring_of(settings(night=night)).is_night(minute) is dark
