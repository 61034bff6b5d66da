// Shows the value of a line under the pointer; without it the page is whole.
"use strict";
const shown = (value) => value.toLocaleString("en", { maximumFractionDigits: 6 });
const lines = JSON.parse(document.getElementById("lines").textContent);
for (const plot of document.querySelectorAll("[data-line]")) {
  const { times, values, unit, beside } = lines[plot.dataset.line];
  const svg = plot.querySelector("svg");
  const hair = document.createElement("div");
  const tip = document.createElement("div");
  hair.className = "hair";
  tip.className = "tip";
  hair.hidden = tip.hidden = true;
  plot.append(hair, tip);
  const first = times[0];
  const length = Math.max(1, times[times.length - 1] - first);
  plot.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    const wanted = first + share * length;
    let low = 0;
    let high = times.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (times[middle] <= wanted) low = middle;
      else high = middle - 1;
    }
    const left = box.left - plot.getBoundingClientRect().left + ((times[low] - first) / length) * box.width;
    const when = new Date(times[low]).toISOString().replace("T", " ").replace(/\.000Z$|Z$/, "");
    const other = beside.length ? ` | ${shown(beside[low])}${unit}` : "";
    tip.textContent = `${when}  ${shown(values[low])}${unit}${other}`;
    hair.style.left = `${left}px`;
    hair.hidden = tip.hidden = false;
    tip.style.left = `${Math.min(left + 8, plot.clientWidth - tip.offsetWidth)}px`;
  });
  plot.addEventListener("pointerleave", () => {
    hair.hidden = tip.hidden = true;
  });
}
