// The price chart of one instrument: fetches bars, draws them with lightweight-charts when the daemon
// serves it, else on a canvas of our own. The two painters offer the same three methods.

import { clock, day, number } from "./format.js";

const LIBRARY = "/static/vendor/lightweight-charts.mjs";
const BARS = 240;
const FEW_BARS = 15;
const REFRESH_MS = 1000;
const SECONDS = { "1s": 1, "1min": 60, "1h": 3600, "1day": 86400 };

export class Chart {
  constructor({ plot, empty, summary, credit, onInterval }) {
    Object.assign(this, { plot, empty, summary, credit, onInterval });
    this.instrument = null;
    this.interval = "auto";
    this.painter = null;
    this.request = 0;
    this.shown = "";
    this.paused = false;
  }

  async start() {
    // The daemon writes into the page whether it has the library, so that nothing is asked for in vain.
    const offered = document.documentElement.dataset.charts === "library";
    const library = offered ? await import(LIBRARY).catch(() => null) : null;
    this.painter = library ? new LibraryPainter(library, this.plot) : new CanvasPainter(this.plot);
    this.credit.hidden = !library;
    setInterval(() => this.refresh(), REFRESH_MS);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.painter.restyle());
    await this.refresh();
  }

  show(instrument, interval) {
    if (instrument === this.instrument && interval === this.interval) return;
    this.instrument = instrument;
    this.interval = interval;
    this.refresh();
  }

  /** While nobody answers nothing is asked; the bars stay as they are. */
  pause(paused) {
    if (paused === this.paused) return;
    this.paused = paused;
    this.refresh();
  }

  async refresh() {
    if (this.paused || !this.painter || !this.instrument || document.hidden) return;
    const request = ++this.request;
    const { instrument } = this;
    let found = await this.load(instrument, this.interval === "auto" ? "1min" : this.interval);
    // A young journal has few minutes to show: until somebody chooses, seconds tell more.
    if (this.interval === "auto" && found && found.bars.length < FEW_BARS) found = await this.load(instrument, "1s");
    if (request !== this.request || !found) return;
    this.onInterval(found.interval);
    this.paint(found);
  }

  /** Bars of trades, or of bids where there are no trades; null when the daemon does not answer. */
  async load(instrument, interval) {
    for (const side of ["trade", "bid"]) {
      const query = new URLSearchParams({ instrument: instrument.instrument_id, interval, side, limit: BARS });
      const answer = await fetch(`/api/v1/bars?${query}`).catch(() => null);
      if (!answer?.ok) return null;
      const { bars } = await answer.json();
      if (bars.length || side === "bid") return { bars, side, interval };
    }
    return null;
  }

  paint({ bars, side, interval }) {
    this.empty.hidden = bars.length > 0;
    const key = `${this.instrument.instrument_id} ${interval}`;
    this.painter.paint(bars, this.instrument.decimals, { fresh: key !== this.shown, seconds: SECONDS[interval] });
    this.shown = key;
    if (!bars.length) {
      this.summary.textContent = "";
      return;
    }
    const bar = bars.at(-1);
    const text = (value) => number(value, this.instrument.decimals);
    const volume = bar.volume === null ? "" : `  ·  volume ${number(bar.volume)}`;
    this.summary.textContent = `${side === "bid" ? "Bid  ·  " : ""}${day(bar.start_ns)} ${clock(bar.start_ns)}  ·  open ${text(bar.open)}  ·  high ${text(bar.high)}  ·  low ${text(bar.low)}  ·  close ${text(bar.close)}${volume}`;
  }
}

function colours() {
  const styles = getComputedStyle(document.documentElement);
  const value = (name) => styles.getPropertyValue(name).trim();
  return { text: value("--soft"), strong: value("--text"), line: value("--line"), up: value("--up"), down: value("--down"), card: value("--card"), accent: value("--accent") };
}

class LibraryPainter {
  constructor(library, plot) {
    this.chart = library.createChart(plot, {
      autoSize: true,
      layout: { attributionLogo: false, background: { color: "transparent" }, fontSize: 11 },
      timeScale: { timeVisible: true, borderVisible: false, rightOffset: 3 },
      rightPriceScale: { borderVisible: false },
    });
    this.series = this.chart.addSeries(library.CandlestickSeries, { borderVisible: false });
    this.volume = this.chart.addSeries(library.HistogramSeries, { priceScaleId: "volume", lastValueVisible: false, priceLineVisible: false, priceFormat: { type: "volume" } });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
    this.restyle();
  }

  restyle() {
    const { text, line, up, down } = colours();
    this.chart.applyOptions({ layout: { textColor: text }, grid: { vertLines: { color: "transparent" }, horzLines: { color: line } } });
    this.series.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
    this.volume.applyOptions({ color: line });
  }

  paint(bars, decimals, { fresh, seconds }) {
    const points = bars.map((bar) => ({
      time: Math.round(Number(bar.start_ns) / 1e9),
      open: Number(bar.open), high: Number(bar.high), low: Number(bar.low), close: Number(bar.close),
    }));
    this.chart.applyOptions({ timeScale: { secondsVisible: seconds < 60 } });
    this.series.applyOptions({ priceFormat: { type: "price", precision: decimals, minMove: 10 ** -decimals } });
    this.series.setData(points);
    this.volume.setData(bars.map((bar, index) => ({ time: points[index].time, value: Number(bar.volume ?? 0) })));
    if (fresh) this.chart.timeScale().setVisibleLogicalRange({ from: Math.min(points.length - 90, points.length - 30), to: points.length + 3 });
  }
}

class CanvasPainter {
  constructor(plot) {
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "Bars of the chosen instrument; the last one is described below");
    plot.append(this.canvas);
    this.bars = [];
    this.decimals = 2;
    this.seconds = 60;
    new ResizeObserver(() => this.restyle()).observe(plot);
  }

  paint(bars, decimals, { seconds }) {
    Object.assign(this, { bars, decimals, seconds });
    this.restyle();
  }

  restyle() {
    const { canvas, decimals } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = `11px ${getComputedStyle(canvas).fontFamily}`;
    if (!this.bars.length) return;
    const step = 8;
    const label = (value) => number(value.toFixed(decimals), decimals);
    const margin = Math.ceil(context.measureText(label(Number(this.bars.at(-1).close))).width) + 16;
    const fit = Math.max(1, Math.floor((width - margin - 8) / step));
    const bars = this.bars.slice(-fit).map((bar) => ({
      at: Number(bar.start_ns), open: Number(bar.open), high: Number(bar.high), low: Number(bar.low),
      close: Number(bar.close), volume: Number(bar.volume ?? 0),
    }));
    const area = { left: 8, right: width - margin, top: 10, bottom: height - 24 };
    this.drawAll(context, bars, area, { step, label, width });
  }

  drawAll(context, bars, area, { step, label, width }) {
    const { text, strong, line, up, down, card, accent } = colours();
    const low = Math.min(...bars.map((bar) => bar.low));
    const high = Math.max(...bars.map((bar) => bar.high));
    const padding = (high - low) * 0.06 || Math.abs(high) * 1e-4 || 1;
    const volumeTop = area.bottom - (area.bottom - area.top) * 0.15;
    const y = (value) => volumeTop - 6 - ((value - low + padding) / (high - low + 2 * padding)) * (volumeTop - 6 - area.top);
    const x = (index) => area.right - (bars.length - index) * step + step / 2;
    context.textBaseline = "middle";
    for (const value of ticks(low, high, 5)) {
      const at = Math.round(y(value)) + 0.5;
      context.fillStyle = line;
      context.fillRect(area.left, at, area.right - area.left, 1);
      context.fillStyle = text;
      if (Math.abs(at - y(bars.at(-1).close)) > 15) context.fillText(label(value), area.right + 8, at);
    }
    const most = Math.max(...bars.map((bar) => bar.volume)) || 1;
    bars.forEach((bar, index) => {
      const colour = bar.close >= bar.open ? up : down;
      context.globalAlpha = 0.28;
      context.fillStyle = colour;
      const tall = (bar.volume / most) * (area.bottom - volumeTop);
      context.fillRect(x(index) - 2.5, area.bottom - tall, 5, tall);
      context.globalAlpha = 1;
      context.fillRect(Math.round(x(index)) - 0.5, y(bar.high), 1, Math.max(1, y(bar.low) - y(bar.high)));
      const body = Math.abs(y(bar.open) - y(bar.close));
      context.fillRect(x(index) - 2.5, Math.min(y(bar.open), y(bar.close)), 5, Math.max(1, body));
    });
    this.drawTimes(context, bars, x, area, text);
    const last = y(bars.at(-1).close);
    context.fillStyle = accent;
    context.fillRect(area.right + 2, last - 9, width - area.right - 4, 18);
    context.fillStyle = card;
    context.fillText(label(bars.at(-1).close), area.right + 8, last);
    context.fillStyle = strong;
  }

  drawTimes(context, bars, x, area, colour) {
    context.fillStyle = colour;
    context.textBaseline = "alphabetic";
    const gap = Math.ceil(84 / 8);
    for (let index = bars.length - 1 - (gap >> 1); index >= gap >> 1; index -= gap) {
      const at = bars[index].at;
      const shown = this.seconds >= 86400 ? day(at) : clock(at).slice(0, this.seconds < 60 ? 8 : 5);
      context.fillText(shown, x(index) - context.measureText(shown).width / 2, area.bottom + 18);
    }
  }
}

function ticks(low, high, count) {
  const rough = (high - low || Math.abs(high) * 1e-4 || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(value);
  return found;
}
