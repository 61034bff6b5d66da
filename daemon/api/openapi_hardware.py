"""OpenAPI descriptions of the machine below the daemon."""

from __future__ import annotations

from daemon.api.openapi_parts import (
    CURSOR,
    FLAG,
    ID,
    LIMIT,
    NEXT,
    NS,
    TEXT,
    Schema,
    get,
    list_of,
    one_of,
    or_null,
    record,
    ref,
)
from daemon.hardware.sensors import SENSORS

_NUMBER: Schema = {"type": ["number", "null"]}
_READINGS: Schema = {
    "type": "object",
    "description": "sensors by name; null: could not be read",
    "properties": {name: {**_NUMBER, "description": text} for name, text in SENSORS.items()},
    "additionalProperties": _NUMBER,
}

SCHEMAS: dict[str, Schema] = {
    "Hardware": record(
        readings=_READINGS,
        governor=or_null(TEXT),
        throttled=or_null({"type": "string", "description": "why the processor is held back, or no"}),
        fan=record(
            kind=one_of("none", "kernel", "gpiozero", "sysfs_pwm"),
            duty_percent=or_null(ID),
            reason=TEXT,
        ),
        hot=FLAG,
        parts={
            "type": "object",
            "description": "fan, LEDs and button by name",
            "additionalProperties": one_of("closed", "open", "half_open"),
        },
        reasons=list_of(TEXT),
    ),
    "SensorRecord": record(seq=ID, ts_ns=NS, readings=_READINGS),
    "SensorRecords": record(records=list_of(ref("SensorRecord")), next=CURSOR),
}


def operations() -> dict[str, dict[str, Schema]]:
    """Return the operations by address."""
    return {
        "/api/v1/hardware": {"get": get("hardware", "Sensors, fan, LEDs and button now", "Hardware")},
        "/api/v1/sensors": {
            "get": get("sensors", "What the sensors said, newest first", "SensorRecords", (LIMIT, NEXT))
        },
    }
