// Decimal text and nanoseconds to what people read. Amounts stay text: nothing passes through a float.

const GROUP = /\B(?=(\d{3})+(?!\d))/g;

/** Decimals that matter for multiples of `step` ("0.010" gives 2). */
export function decimalsOf(step) {
  const [, fraction = ""] = String(step ?? "1").split(".");
  return fraction.replace(/0+$/, "").length;
}

/** Decimal text with grouped thousands; zeros beyond `decimals` are left out, digits never. */
export function number(text, decimals = 0) {
  if (text === null || text === undefined) return "–";
  const value = String(text);
  const negative = value.startsWith("-");
  const [whole, fraction = ""] = value.replace("-", "").split(".");
  const kept = fraction.slice(0, decimals) + fraction.slice(decimals).replace(/0+$/, "");
  return (negative ? "−" : "") + whole.replace(GROUP, ",") + (kept ? "." + kept : "");
}

/** Money for a glance: cut (not rounded) after `decimals`. */
export function money(text, decimals = 2) {
  if (text === null || text === undefined) return "–";
  const [whole, fraction = ""] = String(text).split(".");
  const cut = fraction.slice(0, decimals).padEnd(decimals, "0");
  const shown = number(decimals ? `${whole}.${cut}` : whole, decimals);
  return /[1-9]/.test(shown) ? shown : shown.replace("−", "");
}

/** The same with a plus sign for gains. */
export function gain(text, decimals = 2) {
  const shown = money(text, decimals);
  return tone(text, decimals) === "up" ? "+" + shown : shown;
}

/** The colour of money as it is shown: what is cut to zero has none. */
export function tone(text, decimals = 2) {
  const shown = money(text, decimals);
  if (!/[1-9]/.test(shown)) return "";
  return shown.startsWith("−") ? "down" : "up";
}

/** Time of day, UTC, of integer nanoseconds. */
export function clock(ns) {
  return ns ? new Date(Number(ns) / 1e6).toISOString().slice(11, 19) : "–";
}

export function day(ns) {
  return ns ? new Date(Number(ns) / 1e6).toISOString().slice(0, 10) : "";
}
