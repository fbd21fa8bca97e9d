// The sample browsers: a plane to point at, and samples sorted by their influence. Without this script a table stands there.
"use strict";
const COLOURS = { first: "#0173b2", second: "#de8f05", other: "#8c8c8c" };
const LISTED = 24;

const make = (tag, attributes = {}, ...children) => {
  const inSvg = ["svg", "circle", "rect", "path", "line", "text", "title"].includes(tag);
  const node = inSvg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
const sum = (row) => row.reduce((total, value) => total + value, 0);
const told = (value) => (Math.abs(value) >= 1e5 || (value && Math.abs(value) < 0.01) ? value.toExponential(2) : value.toPrecision(3));

function browser(box) {
  const data = JSON.parse(document.getElementById(box.dataset.samples).textContent);
  const state = { first: data.classes.indexOf(box.dataset.first), second: data.classes.indexOf(box.dataset.second), by: -1, end: "worst", flips: false, at: null };
  const detail = make("div", { class: "detail", "aria-live": "polite" });
  const plane = make("svg", { class: "plane", viewBox: "0 0 440 440", role: "img" });
  const legend = make("p", { class: "legend" });
  const cells = make("div", { class: data.text ? "cells wide" : "cells" });
  const any = data.flipped.some(Boolean);
  let places = [];

  function choice(label, options, value, change) {
    const select = make("select", {}, ...options.map(([key, text]) => make("option", { value: key }, text)));
    select.value = value;
    select.addEventListener("change", () => { change(select.value); draw(); list(); });
    return make("label", {}, label + " ", select);
  }
  const named = data.classes.map((name, k) => [k, name]);

  function look(i, scale) {
    if (data.image) {
      const { sheet, columns, width, height } = data.image;
      const size = Math.max(1, Math.floor(scale / Math.max(width, height)));
      const lines = Math.ceil(data.rows.length / columns);
      const picture = make("div", { class: "pixels", role: "img", "aria-label": `sample ${data.rows[i]}, label given ${data.classes[data.given[i]]}` });
      Object.assign(picture.style, {
        width: `${width * size}px`, height: `${height * size}px`, backgroundImage: `url(${sheet})`,
        backgroundSize: `${columns * width * size}px ${lines * height * size}px`,
        backgroundPosition: `-${(i % columns) * width * size}px -${Math.floor(i / columns) * height * size}px`,
      });
      return picture;
    }
    if (data.text) return make("span", {}, scale > 100 || data.text[i].length < 160 ? data.text[i] : data.text[i].slice(0, 160) + " …");
    if (!data.point) return "";
    const words = make("span", {}, `x = (${data.point[i].map((value) => value.toFixed(2)).join(", ")})`);
    return scale > 100 ? make("div", {}, words, map(i)) : words;
  }

  function map(at) {
    const [left, right, low, high] = [0, 1].flatMap((axis) => [Math.min, Math.max].map((end) => end(...data.point.map((point) => point[axis]))));
    const whole = Math.max(right - left, high - low);
    const place = ([x, y]) => [10 + (280 * (x - left)) / whole, 10 + (280 * (high - y)) / whole];
    const drawn = make("svg", { class: "map", viewBox: `0 0 300 ${20 + (280 * (high - low)) / whole}`, role: "img", "aria-label": "where the sample lies among all" });
    data.point.forEach((point, i) => {
      const [cx, cy] = place(point);
      drawn.append(make("circle", { cx, cy, r: 2.2, fill: data.given[i] === 0 ? COLOURS.first : COLOURS.second }));
    });
    const [cx, cy] = place(data.point[at]);
    drawn.append(make("circle", { class: "halo", cx, cy, r: 8 }));
    return drawn;
  }

  function show(i) {
    state.at = i;
    const facts = make("dl");
    const fact = (name, ...value) => facts.append(make("dt", {}, name), make("dd", {}, ...value));
    fact("sample", String(data.rows[i]));
    fact("label given", data.classes[data.given[i]], ...(data.flipped[i] ? [" ", make("span", { class: "flip" }, "flipped")] : []));
    if (data.predicted) fact("model says", `${data.classes[data.predicted[i]]} (${data.probability[i].toFixed(2)})`);
    fact("influence, sum", told(sum(data.p[i])));
    const largest = Math.max(...data.p[i].map(Math.abs)) || 1;
    const bars = make("table", { class: "bars" }, make("caption", {}, "influence on each class; right of the middle: helps"));
    data.p[i].forEach((value, k) => {
      const length = (48 * Math.abs(value)) / largest;
      const bar = make("rect", { x: value < 0 ? 50 - length : 50, y: 2, width: length, height: 8, fill: value < 0 ? "#9e0142" : "#0173b2" });
      const drawn = make("svg", { viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" }, make("line", { x1: 50, x2: 50, y1: 0, y2: 12, stroke: "#1b1f24", "stroke-width": 0.5 }), bar);
      bars.append(make("tr", {}, make("td", {}, data.classes[k]), make("td", { class: "bar" }, drawn), make("td", {}, told(value))));
    });
    detail.replaceChildren(look(i, 128), facts, bars);
    mark();
  }

  function mark() {
    plane.querySelectorAll(".halo").forEach((node) => node.remove());
    for (const button of cells.children) button.setAttribute("aria-pressed", String(Number(button.dataset.i) === state.at));
    if (state.at === null) return;
    const [x, y] = places[state.at];
    plane.append(make("circle", { class: "halo", cx: x, cy: y, r: 9 }));
  }

  function draw() {
    const pairs = data.p.map((row) => [row[state.first], row[state.second]]);
    const largest = Math.max(...pairs.flat().map(Math.abs)) || 1;
    const low = largest / 100, whole = 1 + Math.log10((1.3 * largest) / low);
    const along = (value) => (Math.sign(value) * (Math.abs(value) <= low ? Math.abs(value) / low : 1 + Math.log10(Math.abs(value) / low))) / whole;
    places = pairs.map(([x, y]) => [220 + 200 * along(x), 220 - 200 * along(y)]);
    const parts = [
      make("line", { x1: 20, x2: 420, y1: 220, y2: 220, stroke: "#1b1f24" }), make("line", { x1: 220, x2: 220, y1: 20, y2: 420, stroke: "#1b1f24" }),
      make("line", { x1: 20, x2: 420, y1: 20, y2: 420, stroke: "#029e73", "stroke-dasharray": "6 4" }),
    ];
    const order = places.map((_, i) => i).sort((a, b) => data.flipped[a] - data.flipped[b]);
    for (const i of order) {
      const [x, y] = places[i];
      const kind = data.given[i] === state.first ? "first" : data.given[i] === state.second ? "second" : "other";
      if (data.flipped[i]) parts.push(make("path", { d: `M${x - 4} ${y - 4}L${x + 4} ${y + 4}M${x - 4} ${y + 4}L${x + 4} ${y - 4}`, stroke: COLOURS[kind], "stroke-width": 3, fill: "none" }));
      else if (kind === "first") parts.push(make("circle", { cx: x, cy: y, r: 3, fill: COLOURS.first }));
      else if (kind === "second") parts.push(make("rect", { x: x - 2.7, y: y - 2.7, width: 5.4, height: 5.4, fill: COLOURS.second }));
      else parts.push(make("path", { d: `M${x} ${y - 3}l2.8 5h-5.6z`, fill: COLOURS.other }));
    }
    const [a, b] = [data.classes[state.first], data.classes[state.second]];
    const words = [[214, 14, "end", `helps ${b}, harms ${a}`], [226, 14, "start", "helps both"], [214, 435, "end", "harms both"], [226, 435, "start", `helps ${a}, harms ${b}`]];
    for (const [x, y, anchor, text] of words) parts.push(make("text", { x, y, "text-anchor": anchor, "font-weight": 600, "paint-order": "stroke", stroke: "#fff", "stroke-width": 4 }, text));
    plane.setAttribute("aria-label", `Influence on ${a} to the right, on ${b} upwards, of ${data.rows.length} samples`);
    plane.replaceChildren(...parts);
    legend.textContent = `Right: helps ${a}; up: helps ${b}. Circle: label ${a}, square: label ${b}, triangle: another` + (any ? ", cross: flipped" : "") + `. Dashed: y = -x. ${data.rows.length === data.of ? "All" : data.rows.length + " of"} ${data.of} samples; logarithmic beyond 1 % of the largest.`;
    mark();
  }

  function list() {
    const of = (i) => (state.by < 0 ? sum(data.p[i]) : data.p[i][state.by]);
    const rows = data.rows.map((_, i) => i).filter((i) => !state.flips || data.flipped[i]);
    rows.sort((a, b) => (state.end === "worst" ? of(a) - of(b) : of(b) - of(a)));
    cells.replaceChildren(...rows.slice(0, LISTED).map((i) => {
      const given = `given ${data.classes[data.given[i]]}`;
      const said = data.predicted ? make("span", {}, `model: ${data.classes[data.predicted[i]]}`) : "";
      const flip = data.flipped[i] ? make("span", { class: "flip" }, "flipped") : "";
      const button = make("button", { type: "button", "data-i": i }, look(i, 48), make("span", {}, data.image || data.text ? given : `sample ${data.rows[i]}, ${given}`), said, flip, make("span", {}, `influence ${told(of(i))}`));
      button.addEventListener("click", () => show(i));
      return button;
    }));
    mark();
  }

  function nearest(event) {
    const frame = plane.getBoundingClientRect();
    const at = [((event.clientX - frame.left) * 440) / frame.width, ((event.clientY - frame.top) * 440) / frame.height];
    let best = null, least = 24 ** 2;
    places.forEach(([x, y], i) => {
      const apart = (x - at[0]) ** 2 + (y - at[1]) ** 2;
      if (apart < least) [best, least] = [i, apart];
    });
    if (best !== null && best !== state.at) show(best);
  }
  plane.addEventListener("pointermove", nearest);
  plane.addEventListener("pointerdown", nearest);

  const top = make("div", { class: "controls" }, choice("right:", named, state.first, (k) => { state.first = Number(k); }), choice("up:", named, state.second, (k) => { state.second = Number(k); }), make("span", { class: "legend" }, "Point at a sample."));
  const sorting = make("div", { class: "controls" }, choice("Most", [["worst", "detrimental"], ["best", "beneficial"]], state.end, (end) => { state.end = end; }), choice("to", [[-1, "all classes together"], ...named], state.by, (k) => { state.by = Number(k); }));
  if (any) {
    const tick = make("input", { type: "checkbox" });
    tick.addEventListener("change", () => { state.flips = tick.checked; list(); });
    sorting.append(make("label", {}, tick, " flipped labels alone"));
  }
  box.append(top, make("div", { class: "panes" }, make("div", {}, plane, legend), detail), make("h4", {}, "Sorted by influence"), sorting, cells);
  draw();
  list();
  show(Number(cells.firstChild ? cells.firstChild.dataset.i : 0));
  box.hidden = false;
  box.parentNode.querySelector(".still").hidden = true;
}

for (const box of document.querySelectorAll(".browser")) browser(box);
