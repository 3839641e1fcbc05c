"use strict";
// Sorting and filtering of tables, histograms and curves (uPlot), stages and zoom of the graph, theme.
(() => {
  const all = (query, root = document) => [...root.querySelectorAll(query)];
  const printing = matchMedia("print");
  const ink = (name) => printing.matches || document.documentElement.dataset.printing
    ? { "--ink": "#000", "--soft": "#555", "--line": "#ccc", "--bad": "#8f2d34" }[name]
    : getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colours = ["#3b78c4", "#d9822b", "#3a9a62", "#b5484f", "#8566b5", "#8a6d4f", "#c45a95", "#6f7780"];
  const plots = [], LAZY = 60; // more histograms than that are drawn when they come into view

  // -- tables --------------------------------------------------------------------------------
  const number = (text) => { const value = parseFloat(text); return Number.isNaN(value) ? -Infinity : value; };
  Tablesort.extend("number", () => false, (a, b) => { const x = number(a), y = number(b); return x < y ? 1 : x > y ? -1 : 0; });
  all("table.sortable").forEach((table) => new Tablesort(table));
  all("input.filter").forEach((input) => {
    const rows = all("tbody tr", input.parentElement);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/);
      rows.forEach((row) => {
        const text = row.textContent.toLowerCase();
        row.classList.toggle("hidden", !words.every((word) => text.includes(word)));
      });
    });
  });

  // -- plots ---------------------------------------------------------------------------------
  const axis = (more) => ({
    stroke: () => ink("--soft"), grid: { stroke: () => ink("--line"), width: 1 }, ticks: { show: false },
    font: "11px system-ui, sans-serif", gap: 3, ...more,
  });
  const short = (value) => value === null ? "" : Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3)
    ? value.toExponential(1) : String(+value.toPrecision(4));

  const lines = (entry) => (u) => {
    const { left, top, width, height } = u.bbox, ctx = u.ctx;
    const place = (value) => Math.max(left, Math.min(left + width, u.valToPos(value, "x", true)));
    ctx.save();
    if (entry.representable && entry.representable[0] !== null) {
      const [low, high] = entry.representable.map(place);
      ctx.fillStyle = "#93a1ae33";
      ctx.fillRect(low, top, high - low, height);
    }
    for (let n = -3; n <= 3; n++) {
      const x = Math.round(place(entry.mean + n * entry.sigma)) + 0.5;
      ctx.strokeStyle = n === 0 ? ink("--ink") : Math.abs(n) === 3 ? ink("--bad") : ink("--soft");
      ctx.setLineDash(n === 0 ? [] : [3, 3]);
      ctx.beginPath(); ctx.moveTo(x, top); ctx.lineTo(x, top + height); ctx.stroke();
    }
    ctx.restore();
  };

  const histogram = (card, entry) => {
    const size = entry.counts.length, width = (entry.maximum - entry.minimum) / size || 1;
    const x = Array.from({ length: size + 1 }, (_, n) => entry.minimum + n * width);
    const low = Math.min(entry.minimum, entry.mean - 3 * entry.sigma), high = Math.max(x[size], entry.mean + 3 * entry.sigma);
    const room = (high - low) * 0.02 || 1;
    plots.push(new uPlot({
      width: 300, height: 140, legend: { show: false }, cursor: { show: false },
      scales: { x: { time: false, range: [low - room, high + room] }, y: { range: (u, least, most) => [0, most * 1.05 || 1] } },
      axes: [axis({ size: 24, space: 50, values: (u, ticks) => ticks.map(short) }), axis({ size: 46, space: 30, values: (u, ticks) => ticks.map(short) })],
      series: [{}, { paths: uPlot.paths.stepped({ align: 1 }), fill: colours[0], stroke: colours[0], width: 1, points: { show: false } }],
      hooks: { draw: [lines(entry)] },
    }, [x, [...entry.counts, 0]], card));
  };

  const waiting = new Map();
  const draw = (card) => { const make = waiting.get(card); if (make) { waiting.delete(card); make(); } };
  const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
  }), { rootMargin: "300px" });
  const later = (card, make) => { waiting.set(card, make); seen.observe(card); };

  all(".histograms").forEach((place) => {
    const data = JSON.parse(place.parentElement.querySelector("script.data").textContent);
    const cards = data.entries.map((entry) => {
      const card = document.createElement("div"), title = document.createElement("h4"), range = document.createElement("p");
      card.className = "histogram";
      title.textContent = entry.name;
      range.textContent = `${short(entry.minimum)} .. ${short(entry.maximum)}, mean ${short(entry.mean)}, sigma ${short(entry.sigma)}`;
      card.append(title, range);
      place.append(card);
      if (data.entries.length > LAZY) later(card, () => histogram(card, entry));
      else histogram(card, entry);
      return [card, entry.name.toLowerCase()];
    });
    const find = place.parentElement.querySelector("input.find");
    if (find) find.addEventListener("input", () => cards.forEach(([card, name]) => card.classList.toggle("hidden", !name.includes(find.value.toLowerCase()))));
  });

  all(".curves").forEach((place) => {
    const data = JSON.parse(place.parentElement.querySelector("script.data").textContent);
    const named = data.x.some((value) => typeof value === "string");
    const x = named ? data.x.map((_, n) => n) : data.x;
    const reach = [Math.min(...x), Math.max(...x)], room = (reach[1] - reach[0]) * 0.04 || 0.5;
    const names = Object.keys(data.series);
    const order = x.map((value, n) => [value, n]).sort((a, b) => a[0] - b[0]).map((pair) => pair[1]);
    const label = (value) => named ? (Number.isInteger(value) && data.x[value] !== undefined ? data.x[value] : "") : short(value);
    const width = () => Math.min(640, Math.max(260, place.clientWidth));
    const plot = new uPlot({
      width: width(), height: 280, padding: [10, named ? 56 : 16, 0, 0],
      scales: { x: { time: false, range: [reach[0] - room, reach[1] + room] }, y: data.from_zero ? { range: (u, low, high) => [0, high * 1.05 || 1] } : {} },
      axes: [axis({ label: data.x_title, labelSize: 18, labelFont: "12px system-ui", size: named ? 62 : 28, rotate: named ? -30 : 0,
          splits: named || x.length <= 12 ? () => [...new Set(x)].sort((a, b) => a - b) : undefined, values: (u, ticks) => ticks.map(label) }),
        axis({ label: data.y_title, labelSize: 18, labelFont: "12px system-ui", size: 46, values: (u, ticks) => ticks.map(short) })],
      series: [{ label: data.x_title, value: (u, value) => value === null ? "" : label(value) }, ...names.map((name, n) => ({
        label: name, stroke: colours[n % colours.length], width: data.marks_only ? 0 : 2, spanGaps: true,
        points: { show: true, size: 6, fill: colours[n % colours.length] }, value: (u, value) => short(value) }))],
    }, [order.map((n) => x[n]), ...names.map((name) => order.map((n) => data.series[name][n]))], place);
    plots.push(plot);
    new ResizeObserver(() => { if (plot.width !== width()) plot.setSize({ width: width(), height: 280 }); }).observe(place);
  });
  const redraw = () => plots.forEach((plot) => plot.redraw(false));
  addEventListener("beforeprint", () => {
    document.documentElement.dataset.printing = "1";
    [...waiting.keys()].forEach(draw);
    redraw();
  });
  addEventListener("afterprint", () => {
    delete document.documentElement.dataset.printing;
    redraw();
  });

  // -- the graph -----------------------------------------------------------------------------
  const centre = (canvas) => { // the first node in the middle: a wide graph begins somewhere
    const box = canvas.querySelector(".box rect");
    if (!box) return;
    const place = box.getBoundingClientRect(), frame = canvas.getBoundingClientRect();
    canvas.scrollLeft += place.left + place.width / 2 - frame.left - frame.width / 2;
  };
  all(".canvas").forEach(centre);
  all(".stages").forEach((stages) => {
    const tabs = all("[role=tab]", stages), figures = all(".stage", stages);
    tabs.forEach((tab, chosen) => tab.addEventListener("click", () => {
      tabs.forEach((other, n) => other.setAttribute("aria-selected", String(n === chosen)));
      figures.forEach((figure, n) => figure.classList.toggle("hidden", n !== chosen));
      centre(figures[chosen].querySelector(".canvas"));
    }));
    all("[data-zoom]", stages).forEach((button) => button.addEventListener("click", () => {
      const canvas = stages.querySelector(".stage:not(.hidden) .canvas"), svg = canvas.querySelector("svg");
      const whole = svg.viewBox.baseVal, now = svg.getBoundingClientRect().width, factor = +button.dataset.zoom;
      const fit = Math.min(canvas.clientWidth - 12, (canvas.clientHeight - 12) * whole.width / whole.height);
      svg.style.width = `${factor ? Math.max(20, now * factor) : fit}px`;
    }));
  });
  all(".canvas").forEach((canvas) => {
    let start = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse" || event.button) return; // fingers scroll by themselves
      start = [event.clientX + canvas.scrollLeft, event.clientY + canvas.scrollTop];
      canvas.classList.add("dragged");
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (start) canvas.scrollTo(start[0] - event.clientX, start[1] - event.clientY);
    });
    canvas.addEventListener("pointerup", () => { start = null; canvas.classList.remove("dragged"); });
  });

  // -- theme ---------------------------------------------------------------------------------
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
  document.getElementById("theme").addEventListener("click", () => {
    const now = root.dataset.theme || (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    redraw();
  });
  dark.addEventListener("change", redraw);
})();
