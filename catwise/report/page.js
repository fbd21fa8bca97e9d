// Build the sample browsers: a plane of influence to point at, and samples sorted by influence.
// Where this script does not run, a table of the most detrimental samples stands in their place.
"use strict";

const COLOURS = { first: "#0173b2", second: "#de8f05", other: "#8c8c8c" };
const HARM = "#9e0142";
const INK = "#1b1f24";
const LISTED = 24; // samples in the sorted list
const SIZE = 440; // of the plane, in its own units
const REACH = 24; // how far from a mark the pointer may be, in the same units
const SVG = ["svg", "circle", "rect", "path", "line", "text"];

/** Create an HTML or SVG element with attributes and children (elements or text). */
function make(tag, attributes = {}, ...children) {
  const node = SVG.includes(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

/** Write a number with three significant digits. */
function digits(value) {
  const size = Math.abs(value);
  return size >= 1e5 || (size > 0 && size < 0.01) ? value.toExponential(2) : value.toPrecision(3);
}

/** Map an influence to [-1, 1]: linear up to 1 % of the largest influence, logarithmic beyond. */
function scale(largest) {
  const linear = largest / 100;
  const whole = 1 + Math.log10((1.3 * largest) / linear);
  return (value) => {
    const size = Math.abs(value) / linear;
    return (Math.sign(value) * (size <= 1 ? size : 1 + Math.log10(size))) / whole;
  };
}

/** Show one sample of an image data set, cut out of the sheet that holds all of them. */
function image(data, i, pixels) {
  const { sheet, columns, width, height } = data.image;
  const zoom = Math.max(1, Math.floor(pixels / Math.max(width, height)));
  const lines = Math.ceil(data.rows.length / columns);
  const label = `sample ${data.rows[i]}, label given ${data.classes[data.given[i]]}`;
  const picture = make("div", { class: "pixels", role: "img", "aria-label": label });
  const [left, top] = [(i % columns) * width * zoom, Math.floor(i / columns) * height * zoom];
  Object.assign(picture.style, {
    width: `${width * zoom}px`,
    height: `${height * zoom}px`,
    backgroundImage: `url(${sheet})`,
    backgroundSize: `${columns * width * zoom}px ${lines * height * zoom}px`,
    backgroundPosition: `-${left}px -${top}px`,
  });
  return picture;
}

/** Draw all samples of a data set in two dimensions, with a ring around one of them. */
function map(data, i) {
  const axes = [0, 1].map((axis) => data.point.map((point) => point[axis]));
  const [[left, right], [low, high]] = axes.map((x) => [Math.min(...x), Math.max(...x)]);
  const unit = 280 / Math.max(right - left, high - low);
  const place = ([x, y]) => ({ cx: 10 + unit * (x - left), cy: 10 + unit * (high - y) });
  const view = `0 0 300 ${20 + unit * (high - low)}`;
  const label = "where the sample lies among all";
  const drawing = make("svg", { class: "map", viewBox: view, role: "img", "aria-label": label });
  data.point.forEach((point, other) => {
    const fill = data.given[other] === 0 ? COLOURS.first : COLOURS.second;
    drawing.append(make("circle", { ...place(point), r: 2.2, fill }));
  });
  drawing.append(make("circle", { class: "halo", ...place(data.point[i]), r: 8 }));
  return drawing;
}

/** Show what a person would see of a sample: its image, its text or its coordinates. */
function look(data, i, pixels) {
  const large = pixels > 100;
  if (data.image) return image(data, i, pixels);
  if (data.text) {
    const text = data.text[i];
    return make("span", {}, large || text.length < 160 ? text : `${text.slice(0, 160)} …`);
  }
  if (!data.point) return "";
  const coordinates = data.point[i].map((value) => value.toFixed(2)).join(", ");
  const words = make("span", {}, `x = (${coordinates})`);
  return large ? make("div", {}, words, map(data, i)) : words;
}

/** Draw the influence of a sample on each class as a bar: to the right where it helps. */
function bars(data, i) {
  const words = "influence on each class; a bar to the right: the sample helps this class";
  const table = make("table", { class: "bars" }, make("caption", {}, words));
  const largest = Math.max(...data.p[i].map(Math.abs)) || 1;
  data.p[i].forEach((value, k) => {
    const width = (48 * Math.abs(value)) / largest;
    const drawing = make(
      "svg",
      { viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" },
      make("line", { x1: 50, x2: 50, y1: 0, y2: 12, stroke: INK, "stroke-width": 0.5 }),
      make("rect", {
        ...{ x: value < 0 ? 50 - width : 50, y: 2, width, height: 8 },
        fill: value < 0 ? HARM : COLOURS.first,
      }),
    );
    const cells = [data.classes[k], drawing, digits(value)];
    const [name, bar, number] = cells.map((content) => make("td", {}, content));
    bar.className = "bar";
    table.append(make("tr", {}, name, bar, number));
  });
  return table;
}

/** Draw one sample on the plane; its shape says which label it bears. */
function mark([x, y], kind, flipped) {
  const fill = COLOURS[kind];
  if (flipped) {
    const d = `M${x - 4} ${y - 4}L${x + 4} ${y + 4}M${x - 4} ${y + 4}L${x + 4} ${y - 4}`;
    return make("path", { d, stroke: fill, "stroke-width": 3, fill: "none" });
  }
  if (kind === "first") return make("circle", { cx: x, cy: y, r: 3, fill });
  if (kind === "second") {
    return make("rect", { x: x - 2.7, y: y - 2.7, width: 5.4, height: 5.4, fill });
  }
  return make("path", { d: `M${x} ${y - 3}l2.8 5h-5.6z`, fill });
}

/** Draw the axes, the line y = -x, and what each quarter of the plane means for classes a and b. */
function backdrop(a, b) {
  const [near, middle, far] = [20, SIZE / 2, SIZE - 20];
  const line = (x1, y1, x2, y2, more) => make("line", { x1, y1, x2, y2, ...more });
  const words = [
    [214, 14, "end", `helps ${b}, harms ${a}`],
    [226, 14, "start", "helps both"],
    [214, 435, "end", "harms both"],
    [226, 435, "start", `helps ${a}, harms ${b}`],
  ];
  const style = { "font-weight": 600, "paint-order": "stroke", stroke: "#fff", "stroke-width": 4 };
  return {
    lines: [
      line(near, middle, far, middle, { stroke: INK }),
      line(middle, near, middle, far, { stroke: INK }),
      line(near, near, far, far, { stroke: "#029e73", "stroke-dasharray": "6 4" }),
    ],
    words: words.map(([x, y, anchor, text]) =>
      make("text", { x, y, "text-anchor": anchor, ...style }, text),
    ),
  };
}

/** Create a labelled menu; options are pairs of value and text. */
function menu(label, options, value, change) {
  const items = options.map(([key, text]) => make("option", { value: key }, text));
  const select = make("select", {}, ...items);
  select.value = value;
  select.addEventListener("change", () => change(select.value));
  return make("label", {}, `${label} `, select);
}

function flippedSign() {
  return make("span", { class: "flip" }, "flipped");
}

/** Hold one browser: the plane, the details of the sample pointed at, and the sorted list. */
class SampleBrowser {
  constructor(box) {
    const data = JSON.parse(document.getElementById(box.dataset.samples).textContent);
    this.data = data;
    this.first = data.classes.indexOf(box.dataset.first); // the class on the horizontal axis
    this.second = data.classes.indexOf(box.dataset.second); // the class on the vertical axis
    this.sortedBy = -1; // a class, or -1 for the sum over all
    this.order = "detrimental";
    this.onlyFlipped = false;
    this.sample = 0; // the one in the details, as a row of the data
    this.places = []; // where each sample lies on the plane
    this.plane = make("svg", { class: "plane", viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img" });
    this.legend = make("p", { class: "legend" });
    this.detail = make("div", { class: "detail", "aria-live": "polite" });
    this.list = make("div", { class: data.text ? "cells wide" : "cells" });
    const panes = [make("div", {}, this.plane, this.legend), this.detail];
    box.append(
      this.axisMenus(),
      make("div", { class: "panes" }, ...panes),
      make("h4", {}, "The samples, sorted by influence"),
      this.sortingMenus(),
      this.list,
    );
    for (const type of ["pointermove", "pointerdown"]) {
      this.plane.addEventListener(type, (event) => this.showNearest(event));
    }
    this.drawPlane();
    this.drawList();
    this.show(Number(this.list.firstChild.dataset.i));
  }

  axisMenus() {
    const classes = this.data.classes.map((name, k) => [k, name]);
    const choose = (axis) => (value) => {
      this[axis] = Number(value);
      this.drawPlane();
    };
    return make(
      "div",
      { class: "controls" },
      menu("to the right: influence on", classes, this.first, choose("first")),
      menu("upwards: influence on", classes, this.second, choose("second")),
    );
  }

  sortingMenus() {
    const orders = [["detrimental", "detrimental"], ["beneficial", "beneficial"]];
    const columns = this.data.classes.map((name, k) => [k, name]);
    const choose = (name) => (value) => {
      this[name] = value;
      this.drawList();
    };
    const menus = make(
      "div",
      { class: "controls" },
      menu("most", orders, this.order, choose("order")),
      menu("to", [[-1, "all classes together"], ...columns], this.sortedBy, (value) =>
        choose("sortedBy")(Number(value)),
      ),
    );
    if (this.data.flipped.some(Boolean)) {
      const tick = make("input", { type: "checkbox" });
      tick.addEventListener("change", () => choose("onlyFlipped")(tick.checked));
      menus.append(make("label", {}, tick, " only flipped labels"));
    }
    return menus;
  }

  drawPlane() {
    const { data, first, second } = this;
    const pairs = data.p.map((row) => [row[first], row[second]]);
    const along = scale(Math.max(...pairs.flat().map(Math.abs)) || 1);
    const [middle, radius] = [SIZE / 2, SIZE / 2 - 20];
    this.places = pairs.map(([x, y]) => [middle + radius * along(x), middle - radius * along(y)]);
    const kind = (k) => (k === first ? "first" : k === second ? "second" : "other");
    const flippedLast = pairs.map((_, i) => i);
    flippedLast.sort((i, j) => data.flipped[i] - data.flipped[j]);
    const marks = flippedLast.map((i) => mark(this.places[i], kind(data.given[i]), data.flipped[i]));
    const { lines, words } = backdrop(data.classes[first], data.classes[second]);
    this.plane.replaceChildren(...lines, ...marks, ...words);
    this.explainPlane(data.classes[first], data.classes[second]);
    this.ring();
  }

  explainPlane(a, b) {
    const { rows, of, flipped } = this.data;
    const label = `Influence of ${rows.length} samples on ${a}, to the right, and on ${b}, upwards`;
    this.plane.setAttribute("aria-label", label);
    const number = rows.length === of ? "all" : `${rows.length} of the`;
    this.legend.textContent =
      `Each mark is a training sample; here are ${number} ${of}. ` +
      `Further right: it helps ${a} more. Further up: it helps ${b} more. ` +
      `Circle: labelled ${a}; square: labelled ${b}; triangle: another label` +
      `${flipped.some(Boolean) ? "; cross: flipped label" : ""}. On the dashed line, y = -x, ` +
      "a sample takes from one class what it gives to the other. " +
      "The axes are logarithmic beyond 1 % of the largest influence.";
  }

  drawList() {
    const { data, sortedBy } = this;
    const influence = data.p.map((row) => (sortedBy < 0 ? sum(row) : row[sortedBy]));
    const sign = this.order === "detrimental" ? 1 : -1;
    const rows = influence.map((_, i) => i).filter((i) => !this.onlyFlipped || data.flipped[i]);
    rows.sort((i, j) => sign * (influence[i] - influence[j]));
    const entries = rows.slice(0, LISTED).map((i) => this.entry(i, influence[i]));
    this.list.replaceChildren(...entries);
    this.ring();
  }

  entry(i, influence) {
    const { data } = this;
    const name = data.image || data.text ? "" : `sample ${data.rows[i]}, `;
    const lines = [make("span", {}, `${name}labelled ${data.classes[data.given[i]]}`)];
    if (data.flipped[i]) lines.push(flippedSign());
    if (data.predicted) {
      lines.push(make("span", {}, `model: ${data.classes[data.predicted[i]]}`));
    }
    lines.push(make("span", {}, `influence ${digits(influence)}`));
    const button = make("button", { type: "button", "data-i": i }, look(data, i, 48), ...lines);
    button.addEventListener("click", () => this.show(i));
    return button;
  }

  showNearest(event) {
    const frame = this.plane.getBoundingClientRect();
    const x = ((event.clientX - frame.left) * SIZE) / frame.width;
    const y = ((event.clientY - frame.top) * SIZE) / frame.height;
    const apart = this.places.map(([left, top]) => Math.hypot(left - x, top - y));
    const nearest = apart.indexOf(Math.min(...apart));
    if (apart[nearest] < REACH && nearest !== this.sample) this.show(nearest);
  }

  show(i) {
    const { data } = this;
    this.sample = i;
    const facts = make("dl");
    const add = (name, ...value) => facts.append(make("dt", {}, name), make("dd", {}, ...value));
    add("training sample", String(data.rows[i]));
    const flipped = data.flipped[i] ? [" ", flippedSign()] : [];
    add("label given", data.classes[data.given[i]], ...flipped);
    if (data.predicted) {
      const share = data.probability[i].toFixed(2);
      add("the model says", `${data.classes[data.predicted[i]]} (probability ${share})`);
    }
    add("influence on all classes", digits(sum(data.p[i])));
    this.detail.replaceChildren(look(data, i, 128), facts, bars(data, i));
    this.ring();
  }

  /** Mark the sample of the details on the plane and in the list. */
  ring() {
    this.plane.querySelectorAll(".halo").forEach((node) => node.remove());
    const [cx, cy] = this.places[this.sample];
    this.plane.append(make("circle", { class: "halo", cx, cy, r: 9 }));
    for (const button of this.list.children) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.i) === this.sample));
    }
  }
}

for (const box of document.querySelectorAll(".browser")) {
  new SampleBrowser(box);
  box.hidden = false;
  box.parentNode.querySelector(".still").hidden = true;
}
