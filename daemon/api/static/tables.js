// The tables: rows are kept by key and changed in place, so that selection and focus survive updates.

import { clock, gain, money, number, tone } from "./format.js";
import { Spark } from "./spark.js";

const WORKING = new Set([
  "requested", "held", "released", "submitted", "accepted", "triggered", "partially_filled", "pending_cancel",
  "pending_replace", "unknown",
]);
const REFUSED = new Set(["denied", "rejected"]);

/** Creates an element; `content` is always text, never markup. */
function make(name, { className = "", content = "", scope = "" } = {}) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (content) element.textContent = content;
  if (scope) element.scope = scope;
  return element;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setClass(element, name) {
  if (element.className !== name) element.className = name;
}

/** A table body whose rows are found by key. */
class Rows {
  constructor(id) {
    this.body = document.getElementById(id);
    this.empty = document.querySelector(`.empty[data-for="${id}"]`);
    this.rows = new Map();
  }

  row(key, build, { first = false } = {}) {
    let row = this.rows.get(key);
    if (!row) {
      row = build();
      this.rows.set(key, row);
      if (first) this.body.prepend(row.element);
      else this.body.append(row.element);
      this.empty.hidden = true;
    }
    return row;
  }

  remove(key) {
    this.rows.get(key)?.element.remove();
    this.rows.delete(key);
    this.empty.hidden = this.rows.size > 0;
  }

  clear() {
    for (const key of [...this.rows.keys()]) this.remove(key);
  }

  /** Puts the rows in the order of their keys; rows that stand right are not touched. */
  arrange(compare) {
    let place = this.body.firstElementChild;
    for (const key of [...this.rows.keys()].sort(compare)) {
      const { element } = this.rows.get(key);
      if (element === place) place = place.nextElementSibling;
      else this.body.insertBefore(element, place);
    }
  }

  /** Drops the rows at the bottom beyond `limit`. */
  trim(limit) {
    while (this.rows.size > limit) {
      const oldest = this.body.lastElementChild;
      const key = [...this.rows].find(([, row]) => row.element === oldest)?.[0];
      this.remove(key);
    }
  }
}

/** A row of cells; cells with two lines have a `small` part. */
function cells(classes) {
  const element = make("tr");
  const parts = classes.map((className, index) => {
    const cell = make(index ? "td" : "th", { className, scope: index ? "" : "row" });
    const main = make("span");
    const small = make("span", { className: "small" });
    cell.append(main, small);
    element.append(cell);
    return { cell, main, small };
  });
  return { element, parts };
}

export class PriceTable {
  constructor(onChoose) {
    this.rows = new Rows("prices");
    this.onChoose = onChoose;
  }

  update(prices, instruments) {
    for (const price of prices) {
      const instrument = instruments.get(price.instrument_id);
      if (instrument) this.paint(price, instrument);
    }
  }

  paint(price, instrument) {
    const row = this.rows.row(instrument.instrument_id, () => this.build(instrument));
    const shown = price.last ?? middle(price, instrument);
    const value = Number(shown);
    if (shown !== null) {
      if (row.value !== undefined && value !== row.value) this.flash(row, value > row.value);
      row.value = value;
      row.spark.push(value);
      setText(row.last, number(shown, instrument.decimals));
    }
    setText(row.bid, number(price.bid, instrument.decimals));
    setText(row.ask, number(price.ask, instrument.decimals));
    row.start ??= value;
    const change = (row.start ? ((value - row.start) / row.start) * 100 : 0).toFixed(2);
    const direction = tone(change);
    setText(row.change, `${{ up: "▲ ", down: "▼ " }[direction] ?? ""}${change.replace("-", "")} %`);
    setClass(row.change, `small ${direction}`);
  }

  build(instrument) {
    const { element, parts } = cells(["", "trend", "number last", "number"]);
    const [name, trend, last, quote] = parts;
    const button = make("button", { content: instrument.symbol });
    button.type = "button";
    button.setAttribute("aria-label", `${instrument.symbol}: show in the chart`);
    name.main.append(button);
    name.small.textContent = instrument.venue;
    element.addEventListener("click", () => this.onChoose(instrument.instrument_id));
    const canvas = make("canvas");
    canvas.setAttribute("aria-hidden", "true");
    trend.cell.replaceChildren(canvas);
    quote.small.className = "small";
    return { element, last: last.main, change: last.small, bid: quote.main, ask: quote.small, spark: new Spark(canvas) };
  }

  flash(row, rose) {
    row.last.classList.remove("rose", "fell");
    row.last.classList.add(rose ? "rose" : "fell");
    clearTimeout(row.timer);
    row.timer = setTimeout(() => row.last.classList.remove("rose", "fell"), 160);
  }

  choose(id) {
    for (const [key, row] of this.rows.rows) row.element.dataset.chosen = String(key === id);
  }

  redraw() {
    for (const row of this.rows.rows.values()) row.spark.draw();
  }
}

function middle(price, instrument) {
  if (price.bid === null && price.ask === null) return null;
  if (price.bid === null || price.ask === null) return price.bid ?? price.ask;
  return ((Number(price.bid) + Number(price.ask)) / 2).toFixed(instrument.decimals);
}

export class PositionTable {
  constructor() {
    this.rows = new Rows("positions");
  }

  replace(positions, instruments) {
    const kept = new Set();
    for (const position of positions) {
      const instrument = instruments.get(position.instrument_id);
      if (!instrument) continue;
      kept.add(position.instrument_id);
      const { element, parts } = this.rows.row(position.instrument_id, () => cells(["", "number", "number no-phone", "number", "number"]));
      const flat = Number(position.quantity) === 0;
      setClass(element, flat ? "soft" : "");
      setText(parts[0].main, position.symbol);
      setText(parts[0].small, flat ? "flat" : position.quantity.startsWith("-") ? "short" : "long");
      setText(parts[1].main, number(position.quantity));
      setText(parts[2].main, flat ? "–" : money(position.average_price, instrument.decimals));
      setText(parts[1].small, flat ? "" : `at ${money(position.average_price, instrument.decimals)}`);
      setClass(parts[1].small, "small phone");
      setText(parts[3].main, gain(position.unrealised));
      setClass(parts[3].main, tone(position.unrealised));
      setText(parts[4].main, gain(position.realised));
      setClass(parts[4].main, tone(position.realised));
    }
    for (const key of [...this.rows.rows.keys()]) if (!kept.has(key)) this.rows.remove(key);
  }
}

export class AccountTable {
  constructor() {
    this.rows = new Rows("account");
  }

  replace(balances) {
    const kept = new Set();
    for (const balance of balances) {
      kept.add(balance.currency);
      const { parts } = this.rows.row(balance.currency, () => cells(["", "number", "number", "number"]));
      setText(parts[0].main, balance.currency);
      setText(parts[1].main, money(balance.cash));
      setText(parts[2].main, money(balance.equity));
      setText(parts[3].main, money(balance.fees));
    }
    for (const key of [...this.rows.rows.keys()]) if (!kept.has(key)) this.rows.remove(key);
  }
}

function sideText(side) {
  return side === "buy" ? "▲ Buy" : "▼ Sell";
}

/** The price an order was given and what kind of price it is; two empty texts where the market makes it. */
function asked(order, decimals) {
  if (order.price !== null) return [number(order.price, decimals), order.stop_price === null ? "" : "limit"];
  if (order.stop_price !== null) return [number(order.stop_price, decimals), "stop"];
  if (order.trail_amount !== null) return [number(order.trail_amount, decimals), "trail"];
  return order.trail_percent === null ? ["", ""] : [`${number(order.trail_percent)} %`, "trail"];
}

export class OrderTable {
  constructor(limit) {
    this.rows = new Rows("orders");
    this.limit = limit;
    this.states = new Map();
    this.count = document.getElementById("orders-count");
  }

  /** Takes orders oldest first; working ones stand on top, then the newest. */
  update(orders, instruments) {
    for (const order of orders) this.paint(order, instruments.get(order.instrument_id));
    const works = (key) => WORKING.has(this.states.get(key));
    this.rows.arrange((one, other) => works(other) - works(one) || other - one);
    this.rows.trim(this.limit);
    for (const key of this.states.keys()) if (!this.rows.rows.has(key)) this.states.delete(key);
    const working = [...this.states.values()].filter((state) => WORKING.has(state)).length;
    setText(this.count, this.states.size ? `${working} working` : "");
  }

  clear() {
    this.rows.clear();
    this.states.clear();
  }

  paint(order, instrument) {
    const build = () => cells(["no-phone", "no-phone", "", "", "number", "number no-phone", ""]);
    const { element, parts } = this.rows.row(order.order_id, build, { first: true });
    this.states.set(order.order_id, order.status);
    setClass(element, WORKING.has(order.status) ? "works" : "");
    const decimals = instrument?.decimals ?? 0;
    setText(parts[0].main, clock(order.created_ns));
    setClass(parts[0].main, "soft");
    setText(parts[1].main, `#${order.order_id}`);
    setText(parts[1].small, order.strategy_id ?? order.client_id ?? "");
    setText(parts[2].main, order.symbol ?? `#${order.instrument_id}`);
    // A phone has no room for a column of times.
    setText(parts[2].small, clock(order.created_ns));
    setClass(parts[2].small, "small phone");
    setText(parts[3].main, sideText(order.side));
    setClass(parts[3].main, order.side === "buy" ? "up" : "down");
    setText(parts[3].small, order.type.replaceAll("_", " "));
    setText(parts[4].main, `${number(order.filled_quantity)} / ${number(order.quantity)}`);
    const average = order.average_price ? `avg ${money(order.average_price, decimals)}` : "";
    const [price, word] = asked(order, decimals);
    setText(parts[4].small, average || (price && `${word || "at"} ${price}`));
    setClass(parts[4].small, "small phone");
    setText(parts[5].main, price || money(order.average_price, decimals));
    setText(parts[5].small, price ? [word, average].filter(Boolean).join(", ") : "average");
    setText(parts[6].main, order.status.replaceAll("_", " "));
    setClass(parts[6].main, `status ${kind(order.status)}`);
    setText(parts[6].small, order.reason ?? "");
    parts[6].cell.title = order.reason ?? "";
  }
}

function kind(status) {
  if (WORKING.has(status)) return "working";
  if (REFUSED.has(status)) return "refused";
  return status === "filled" ? "filled" : "";
}

export class FillTable {
  constructor(limit) {
    this.rows = new Rows("fills");
    this.limit = limit;
  }

  clear() {
    this.rows.clear();
  }

  /** Takes fills oldest first. */
  update(fills, instruments) {
    for (const fill of fills) {
      const decimals = instruments.get(fill.instrument_id)?.decimals ?? 0;
      const { parts } = this.rows.row(fill.seq, () => cells(["", "", "", "number", "number", "number no-phone"]), { first: true });
      setText(parts[0].main, clock(fill.ts_ns));
      setClass(parts[0].main, "soft");
      setText(parts[1].main, fill.symbol);
      setText(parts[2].main, sideText(fill.side));
      setClass(parts[2].main, fill.side === "buy" ? "up" : "down");
      setText(parts[3].main, number(fill.quantity));
      setText(parts[4].main, number(fill.price, decimals));
      setText(parts[5].main, money(fill.fee, 2));
      setText(parts[5].small, fill.liquidity ?? "");
    }
    this.rows.trim(this.limit);
  }
}
