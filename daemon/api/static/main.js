// The dashboard: takes snapshots and updates from the WebSocket and hands each part to what shows it.

import { Chart } from "./chart.js";
import { Connection } from "./connection.js";
import { decimalsOf, gain, money, number, tone } from "./format.js";
import { MachinePanel } from "./machine.js";
import { Spark } from "./spark.js";
import { AccountTable, FillTable, OrderTable, PositionTable, PriceTable } from "./tables.js";

const byId = (id) => document.getElementById(id);
const instruments = new Map();
const state = { chosen: null, interval: "auto", samples: [], retryAt: 0, connection: "waiting", reason: "" };

const prices = new PriceTable((id) => choose(id));
const positions = new PositionTable();
const account = new AccountTable();
const orders = new OrderTable(100);
const fills = new FillTable(60);
const machine = new MachinePanel(byId("machine"));
const equity = new Spark(byId("equity-spark"));
const chart = new Chart({ onInterval: markInterval, plot: byId("plot"), empty: byId("plot-empty"), summary: byId("chart-summary"), credit: byId("chart-credit") });

function choose(id, interval = state.interval) {
  if (!instruments.has(id)) return;
  state.chosen = id;
  state.interval = interval;
  byId("chart-instrument").value = String(id);
  byId("chart-title").textContent = instruments.get(id).symbol;
  prices.choose(id);
  chart.show(instruments.get(id), interval);
}

function markInterval(interval) {
  for (const button of byId("chart-intervals").children) {
    button.setAttribute("aria-pressed", String(button.dataset.interval === interval));
  }
}

function takeInstruments(list) {
  for (const instrument of list) {
    instrument.decimals = decimalsOf(instrument.tick_size);
    const known = instruments.has(instrument.instrument_id);
    instruments.set(instrument.instrument_id, instrument);
    if (known) continue;
    const same = [...instruments.values()].some((other) => other !== instrument && other.symbol === instrument.symbol);
    const name = same ? `${instrument.symbol} (${instrument.venue})` : instrument.symbol;
    byId("chart-instrument").append(new Option(name, instrument.instrument_id));
  }
  if (state.chosen === null && instruments.size) choose(instruments.keys().next().value);
}

function takeAccount(data) {
  account.replace(data.balances);
  const main = data.balances.find((balance) => balance.currency === data.main_currency) ?? data.balances[0];
  if (!main) return;
  figure(byId("equity"), money(main.equity), main.currency);
  equity.push(Number(main.equity));
  byId("equity-under").textContent = `cash ${money(main.cash)}`;
  figure(byId("unrealised"), gain(main.unrealised), main.currency, tone(main.unrealised));
  figure(byId("realised"), gain(main.realised), main.currency, tone(main.realised));
  byId("fees").textContent = `fees ${money(main.fees)}`;
}

function figure(element, text, unit = "", className = "") {
  element.className = `figure ${className}`;
  element.replaceChildren(text);
  if (!unit) return;
  const small = document.createElement("small");
  small.textContent = ` ${unit}`;
  element.append(small);
}

function takeProgress(message) {
  figure(byId("seq"), number(message.seq));
  const lag = message.seq - message.applied_seq;
  byId("lag").textContent = lag > 1000 ? `durable, ${number(lag)} not shown yet` : shipped(message.sync);
  const now = performance.now();
  state.samples.push([now, message.seq]);
  while (state.samples.length > 2 && now - state.samples[0][0] > 5000) state.samples.shift();
  const [[since, from]] = state.samples;
  if (now - since > 700) figure(byId("rate"), number(Math.round(((message.seq - from) * 1000) / (now - since))));
}

/** How far the journal is in the database, where it is shipped to one. */
function shipped(sync) {
  if (!sync || sync.state === "off" || sync.state === "starting") return "durable events";
  const waiting = number(sync.lag_events ?? 0);
  if (sync.state === "away") return `database away, ${waiting} wait`;
  if (sync.state === "refused") return `not shipped, ${waiting} wait`;
  return sync.state === "working" ? `durable, ${waiting} to ship` : "durable and shipped";
}

function takeTrading(trading) {
  const name = trading.state;
  byId("trading").dataset.state = name;
  byId("trading").title = trading.reason ?? "";
  const words = { active: "Trading active", reducing: "Only reducing", halted: "Trading halted", unknown: "Trading: not known" };
  byId("trading-text").textContent = words[name] ?? `Trading ${name}`;
  state.halt = name === "halted" ? trading.reason || "no reason was given" : "";
}

function take(message) {
  if (message.type === "snapshot") {
    orders.clear();
    fills.clear();
    state.samples = [];
    byId("version").textContent = `taped ${message.version}`;
    byId("journal").textContent = `Journal ${message.journal_id.slice(0, 8)}`;
  }
  if (message.instruments) takeInstruments(message.instruments);
  if (message.prices) prices.update(message.prices, instruments);
  if (message.positions) {
    positions.replace(message.positions, instruments);
    const open = message.positions.filter((position) => Number(position.quantity) !== 0).length;
    byId("unrealised-under").textContent = open === 1 ? "1 open position" : `${open} open positions`;
  }
  if (message.account) takeAccount(message.account);
  if (message.orders) orders.update(message.orders, instruments);
  if (message.fills) fills.update(message.fills, instruments);
  if (message.trading) takeTrading(message.trading);
  if (message.hardware) machine.update(message.hardware);
  state.failures = message.reasons ?? state.failures ?? [];
  takeProgress(message);
  if (message.type === "snapshot" && state.chosen !== null) prices.choose(state.chosen);
  tellTrouble();
}

function connectionChanged(name, text, retryAt) {
  Object.assign(state, { connection: name, reason: text, retryAt });
  byId("connection").dataset.state = name;
  byId("connection-text").textContent = name === "lost" ? "No connection" : text;
  document.body.dataset.connection = name;
  chart.pause(name === "lost");
  // The next snapshot tells it anew.
  if (name === "lost") takeTrading({ state: "unknown" });
  tellTrouble();
}

function tellTrouble() {
  const notice = byId("notice");
  const parts = [];
  if (state.connection === "lost") {
    const seconds = Math.max(0, Math.ceil((state.retryAt - Date.now()) / 1000));
    parts.push(`${state.reason}. What is shown may be old. ${seconds ? `Trying again in ${seconds} s.` : "Trying again now."}`);
  } else {
    if (state.halt) parts.push(`Trading is halted: ${state.halt}.`);
    for (const reason of state.failures ?? []) parts.push(`${reason}.`);
  }
  const text = parts.join(" ");
  if (notice.textContent !== text) notice.textContent = text;
  notice.hidden = !text;
}

byId("chart-instrument").addEventListener("change", (event) => choose(Number(event.target.value)));
byId("chart-intervals").addEventListener("click", (event) => {
  const interval = event.target.dataset?.interval;
  if (interval && state.chosen !== null) choose(state.chosen, interval);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  prices.redraw();
  equity.draw();
  machine.redraw();
});
window.addEventListener("resize", () => {
  prices.redraw();
  equity.draw();
  machine.redraw();
});
setInterval(() => state.connection === "lost" && tellTrouble(), 1000);

chart.start();
new Connection(take, connectionChanged).open();
