// The machine under the daemon: temperatures, fan, memory and disk, with the processor's last quarter of an hour.

import { number } from "./format.js";
import { Spark } from "./spark.js";

const HISTORY = 90;
const HISTORY_MS = 10_000;

/** What is shown, top down: a name, and text and tone of a document, or nothing where nobody knows. */
const ROWS = [
  ["Processor", ({ readings, governor }) => celsius(readings.cpu_celsius, 80, join(megahertz(readings.cpu_mhz), governor))],
  ["NVMe drive", ({ readings }) => celsius(readings.nvme_celsius, 70, part(readings.drive_used_percent, "% worn"))],
  ["I/O chip", ({ readings }) => celsius(readings.rp1_celsius, 80)],
  ["Fan", ({ fan, readings }) => fan.kind !== "none" && { text: percent(fan.duty_percent), under: join(fan.reason, part(readings.fan_rpm || null, "rpm")), bad: fan.duty_percent === null }],
  ["Held back", ({ throttled }) => throttled !== null && { text: throttled, bad: throttled.endsWith("now") }],
  ["Memory", ({ readings }) => bytes(readings.memory_available_bytes, "free", waits(readings.memory_pressure_percent))],
  ["Data folder", ({ readings }) => bytes(readings.data_free_bytes, "free", waits(readings.io_pressure_percent))],
  ["Clock", ({ readings }) => readings.clock_synchronized !== null && { text: readings.clock_synchronized ? "kept right" : "nobody keeps it right", bad: !readings.clock_synchronized }],
];

function known(value) {
  return value !== null && value !== undefined;
}

function part(value, unit) {
  return known(value) ? `${number(Math.round(value))} ${unit}` : "";
}

function waits(value) {
  return known(value) ? `waited for ${number(Math.round(value))} % of the time` : "";
}

function join(...parts) {
  return parts.filter(Boolean).join(", ");
}

function percent(value) {
  return known(value) ? `${value} %` : "not known";
}

function megahertz(value) {
  return part(value, "MHz");
}

function celsius(value, hot, under = "") {
  return known(value) && { text: `${value.toFixed(1)} °C`, under, bad: value >= hot };
}

function bytes(value, word, under = "") {
  return known(value) && { text: `${number((value / 2 ** 30).toFixed(1), 1)} GiB ${word}`, under };
}

export class MachinePanel {
  constructor(card) {
    this.card = card;
    this.body = card.querySelector("tbody");
    this.spark = new Spark(card.querySelector("canvas"), "--accent");
    this.rows = new Map();
    this.pushed = 0;
  }

  /** Shows what a message holds of the machine; the first time it asks for the history. */
  update(machine) {
    if (this.card.hidden) {
      this.card.hidden = false;
      this.load();
    }
    for (const [name, read] of ROWS) this.paint(name, read(machine) || null);
    const now = performance.now();
    if (now - this.pushed < HISTORY_MS) return;
    this.pushed = now;
    this.spark.push(machine.readings.cpu_celsius ?? Number.NaN);
  }

  paint(name, shown) {
    let row = this.rows.get(name);
    if (!row) {
      row = this.build(name);
      this.rows.set(name, row);
    }
    row.element.hidden = shown === null;
    if (shown === null) return;
    row.text.textContent = shown.text;
    row.text.className = shown.bad ? "down" : "";
    row.under.textContent = shown.under ?? "";
  }

  build(name) {
    const element = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    const cell = document.createElement("td");
    const text = document.createElement("span");
    const under = document.createElement("span");
    under.className = "small";
    cell.append(text, under);
    element.append(head, cell);
    this.body.append(element);
    return { element, text, under };
  }

  async load() {
    const answer = await fetch(`/api/v1/sensors?limit=${HISTORY}`).catch(() => null);
    if (!answer?.ok) return;
    const { records } = await answer.json();
    const values = records.map((record) => record.readings.cpu_celsius).filter(known).reverse();
    this.spark.points.unshift(...values.slice(-(HISTORY - this.spark.points.length)));
    this.spark.draw();
  }

  redraw() {
    this.spark.draw();
  }
}
