"use strict";
// The figures under the pointer. Without this script the page says the same in its tables.
const run = JSON.parse(document.getElementById("run").textContent);
const tip = document.getElementById("tip");

function clock(s) {
  const whole = Math.round(Math.abs(s));
  return (s < -0.5 ? "−" : "") + Math.floor(whole / 60) + ":" + String(whole % 60).padStart(2, "0");
}

function row(name, value) {
  const line = document.createElement("div");
  for (const text of [name, value]) line.appendChild(document.createElement("span")).textContent = text;
  return line;
}

function show(svg, event) {
  const rect = svg.getBoundingClientRect(), d = svg.dataset;
  const x = (event.clientX - rect.left) / rect.width * d.width;
  if (x < +d.left || x > +d.right) return hide(svg);
  const perPixel = (d.to - d.from) / (d.right - d.left);
  const t = +d.from + (x - d.left) * perPixel;
  const head = document.createElement("b");
  head.textContent = clock(t - run.zero);
  tip.replaceChildren(head);
  const bucket = run.buckets.find(b => t >= b[0] && t < b[0] + b[1]);
  if (bucket) {
    const [, seconds, requests, failed, p50, p99, max] = bucket;
    tip.append(row("requests a second", Math.round(requests / seconds)), row("failed", failed),
      row("p50", p50 + " ms"), row("p99", p99 + " ms"), row("max", max + " ms"));
  }
  for (const swap of run.swaps.filter(s => Math.abs(s[0] - t) < 5 * perPixel).slice(0, 6))
    tip.append(row(swap[1], "→ " + swap[2]));
  const cursor = svg.querySelector(".cursor");
  cursor.setAttribute("visibility", "visible");
  cursor.setAttribute("transform", `translate(${x} 0)`);
  tip.style.visibility = "visible";
  const left = event.clientX + 16 + tip.offsetWidth < innerWidth ? event.clientX + 16 : event.clientX - 16 - tip.offsetWidth;
  tip.style.left = Math.max(4, left) + "px";
  tip.style.top = Math.max(4, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)) + "px";
}

function hide(svg) {
  tip.style.visibility = "hidden";
  svg.querySelector(".cursor").setAttribute("visibility", "hidden");
}

for (const svg of document.querySelectorAll(".timeline")) {
  svg.addEventListener("pointermove", event => show(svg, event));
  svg.addEventListener("pointerdown", event => show(svg, event));
  svg.addEventListener("pointerleave", () => hide(svg));
}
