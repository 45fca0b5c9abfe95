// SPDX-License-Identifier: GPL-2.0-only

// Sizes in pixels, as in page.css.
const ROW = 24, COLUMN = 30, NAMES = 190, HEAD = 120;
// How many rows and columns to draw beyond the visible ones.
const MARGIN = 4;
// How many cells to lay out for a printer.
const PRINTED = 5000;
const KINDS = ["intact", "leak", "by-ref", "rollback", "overflow", "skipped", "missed"];

const map = byId("map"), sizer = byId("sizer"), panel = byId("cell");

// The number of the cell for each column and case, or -1.
const grid = new Int32Array(data.columns.length * data.cases.length).fill(-1);
data.cells.forEach(([column, row], number) => { grid[column * data.cases.length + row] = number; });
const cellAt = (column, row) => grid[column * data.cases.length + row];
const detailOf = (number) => data.details[data.cells[number][2]];
const isMarked = (number) => data.cells[number][3] === 1 || !detailOf(number).agrees;

function classOf(kind) {
  const first = kind.split("+").find((word) => word !== "intact") ?? "intact";
  return KINDS.includes(first) ? first : "other";
}

function signOf(kind) {
  if (kind === "intact") {
    return "·";
  }
  return kind.split("+").map((word) => (KINDS.includes(word) ? word[0].toUpperCase() : "?")).join("").slice(0, 3);
}

function nameOf(number) {
  const [column, row] = data.cells[number];
  return [...data.columns[column], data.cases[row]].join("|");
}

const numberOf = new Map(data.cells.map((_, number) => [nameOf(number), number]));

// The visible columns and rows, by number, and the cell with the keyboard's focus.
const shown = { columns: [], rows: [], row: 0, column: 0, open: -1 };

const filters = { text: byId("text"), kernel: byId("kernel"), variant: byId("variant"), kind: byId("kind"), odd: byId("odd") };

function fillFilters() {
  const add = (select, values) => {
    for (const value of new Set(values)) {
      select.append(make("option", { value }, value));
    }
  };
  add(filters.kernel, data.columns.map(([kernel]) => kernel));
  add(filters.variant, data.columns.map(([, variant]) => variant));
  const kinds = [...new Set(data.details.map((detail) => detail.kind))].sort();
  add(filters.kind, kinds);
  for (const kind of kinds) {
    byId("legend").append(make("li", {}, make("i", { class: `k-${classOf(kind)}` }, signOf(kind)), kind));
  }
  byId("legend").append(make("li", {}, make("i", { style: "box-shadow: inset 0 0 0 2px var(--bad)" }), "not as predicted, or changed"));
}

/** Return whether a cell passes the filters for class and mark. */
function fits(number) {
  return (!filters.kind.value || detailOf(number).kind === filters.kind.value) && (!filters.odd.checked || isMarked(number));
}

function filter() {
  const text = filters.text.value.trim().toLowerCase();
  shown.columns = [];
  data.columns.forEach(([kernel, variant], number) => {
    if ((!filters.kernel.value || kernel === filters.kernel.value) && (!filters.variant.value || variant === filters.variant.value)) {
      shown.columns.push(number);
    }
  });
  let count = 0;
  shown.rows = [];
  data.cases.forEach((name, row) => {
    if (!name.toLowerCase().includes(text)) {
      return;
    }
    let found = 0;
    for (const column of shown.columns) {
      const number = cellAt(column, row);
      found += number >= 0 && fits(number);
    }
    count += found;
    if (found) {
      shown.rows.push(row);
    }
  });
  shown.row = Math.min(shown.row, Math.max(0, shown.rows.length - 1));
  shown.column = Math.min(shown.column, Math.max(0, shown.columns.length - 1));
  byId("count").textContent = `${count.toLocaleString("en")} of ${data.cells.length.toLocaleString("en")} cells`;
  const width = NAMES + shown.columns.length * COLUMN, height = HEAD + shown.rows.length * ROW;
  sizer.style.width = `${width}px`;
  sizer.style.height = `${height}px`;
  map.style.height = `${height + 18}px`;
  map.setAttribute("aria-rowcount", shown.rows.length + 1);
  map.setAttribute("aria-colcount", shown.columns.length + 1);
  draw();
}

function head(from, to) {
  const top = make("div", { class: "head", role: "row", "aria-rowindex": 1, style: `width: ${sizer.style.width}; height: ${HEAD}px` });
  top.append(make("span", { class: "corner", role: "columnheader", "aria-colindex": 1 }, "case"));
  let start = from;
  for (let at = from; at < to; at++) {
    const [kernel, variant] = data.columns[shown.columns[at]];
    const left = `left: ${NAMES + at * COLUMN}px`;
    top.append(make("span", { class: "variant", role: "columnheader", "aria-colindex": at + 2, "aria-label": `${kernel}, ${variant}`, title: `${kernel}, ${variant}`, style: left }, variant));
    if (at + 1 === to || data.columns[shown.columns[at + 1]][0] !== kernel) {
      const place = `left: ${NAMES + start * COLUMN}px; width: ${(at + 1 - start) * COLUMN}px`;
      top.append(make("span", { class: "group", "aria-hidden": "true", title: kernel, style: place }, kernel));
      start = at + 1;
    }
  }
  return top;
}

function square(at, row) {
  const number = cellAt(shown.columns[at], row);
  const attributes = { role: "gridcell", "aria-colindex": at + 2, tabindex: -1, style: `left: ${NAMES + at * COLUMN}px` };
  if (number < 0) {
    return make("span", { ...attributes, class: "none", "aria-label": "not played" });
  }
  const detail = detailOf(number);
  const words = [`k-${classOf(detail.kind)}`];
  if (isMarked(number)) {
    words.push("marked");
  }
  if (!fits(number)) {
    words.push("dim");
  }
  if (number === shown.open) {
    words.push("open");
  }
  const label = `${detail.seen}${detail.agrees ? "" : ", not as predicted"}${data.cells[number][3] ? ", changed" : ""}`;
  return make("span", { ...attributes, class: words.join(" "), "aria-label": label, title: `${nameOf(number).replaceAll("|", ", ")}: ${label}`, "data-cell": number }, signOf(detail.kind));
}

/** Draw the visible part of the map, or all of it. */
function draw(all = false) {
  const held = map.contains(document.activeElement) && document.activeElement !== map;
  const within = (start, size, unit, count) => all ? [0, count] : [
    Math.max(0, Math.floor(start / unit) - MARGIN), Math.min(count, Math.ceil((start + size) / unit) + MARGIN)];
  const [top, bottom] = within(map.scrollTop, map.clientHeight - HEAD, ROW, shown.rows.length);
  const [left, right] = within(map.scrollLeft, map.clientWidth - NAMES, COLUMN, shown.columns.length);
  const drawn = [head(left, right)];
  let current = null;
  for (let at = top; at < bottom; at++) {
    const row = shown.rows[at];
    const line = make("div", { role: "row", "aria-rowindex": at + 2, style: `top: ${HEAD + at * ROW}px; width: ${sizer.style.width}` });
    line.append(make("span", { role: "rowheader", "aria-colindex": 1, title: data.cases[row] }, data.cases[row]));
    for (let column = left; column < right; column++) {
      const made = square(column, row);
      if (at === shown.row && column === shown.column) {
        made.tabIndex = 0;
        current = made;
      }
      line.append(made);
    }
    drawn.push(line);
  }
  sizer.replaceChildren(...drawn);
  // Keyboard users can enter the map wherever it was scrolled to.
  map.tabIndex = current ? -1 : 0;
  if (held && current) {
    current.focus({ preventScroll: true });
  }
}

let pending = false;
map.addEventListener("scroll", () => {
  if (!pending) {
    pending = true;
    requestAnimationFrame(() => { pending = false; draw(); });
  }
}, { passive: true });
addEventListener("resize", () => draw());

/** Move the focus to a row and a column, and scroll them into view. */
function go(row, column) {
  shown.row = Math.max(0, Math.min(shown.rows.length - 1, row));
  shown.column = Math.max(0, Math.min(shown.columns.length - 1, column));
  const y = shown.row * ROW, x = shown.column * COLUMN;
  const height = map.clientHeight - HEAD, width = map.clientWidth - NAMES;
  map.scrollTop = Math.max(y + ROW - height, Math.min(map.scrollTop, y));
  map.scrollLeft = Math.max(x + COLUMN - width, Math.min(map.scrollLeft, x));
  draw();
  sizer.querySelector("[tabindex='0']")?.focus({ preventScroll: true });
}

map.addEventListener("keydown", (event) => {
  const page = Math.max(1, Math.floor((map.clientHeight - HEAD) / ROW) - 1);
  const moves = {
    ArrowUp: [shown.row - 1, shown.column], ArrowDown: [shown.row + 1, shown.column],
    ArrowLeft: [shown.row, shown.column - 1], ArrowRight: [shown.row, shown.column + 1],
    PageUp: [shown.row - page, shown.column], PageDown: [shown.row + page, shown.column],
    Home: [event.ctrlKey ? 0 : shown.row, 0], End: [event.ctrlKey ? Infinity : shown.row, Infinity],
  };
  if (event.key in moves) {
    event.preventDefault();
    go(...moves[event.key]);
  } else if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    const number = cellAt(shown.columns[shown.column], shown.rows[shown.row]);
    if (number >= 0) {
      writeHash(number);
    }
  }
});
map.addEventListener("focus", () => go(shown.row, shown.column));
map.addEventListener("click", (event) => {
  const number = event.target.dataset?.cell;
  if (number !== undefined) {
    shown.row = shown.rows.indexOf(data.cells[number][1]);
    shown.column = shown.columns.indexOf(data.cells[number][0]);
    writeHash(Number(number));
  }
});

/** Return the URL fragment for the filters and the open cell. */
function hash(open) {
  const words = new URLSearchParams();
  for (const name of ["text", "kernel", "variant", "kind"]) {
    if (filters[name].value) {
      words.set(name, filters[name].value);
    }
  }
  if (filters.odd.checked) {
    words.set("odd", "1");
  }
  if (open >= 0) {
    words.set("cell", nameOf(open));
  }
  return `#${words}`;
}

function writeHash(open) {
  location.hash = hash(open);
  if (shown.open === open) {
    byId("cell-title")?.focus();
  }
}

function readHash() {
  const words = new URLSearchParams(location.hash.slice(1));
  for (const name of ["text", "kernel", "variant", "kind"]) {
    filters[name].value = words.get(name) ?? "";
  }
  filters.odd.checked = words.has("odd");
  shown.open = numberOf.get(words.get("cell")) ?? -1;
  filter();
  if (shown.open >= 0) {
    const row = shown.rows.indexOf(data.cells[shown.open][1]), column = shown.columns.indexOf(data.cells[shown.open][0]);
    if (row >= 0 && column >= 0) {
      go(row, column);
    }
  }
  report();
}

byId("filters").addEventListener("input", () => {
  history.replaceState(null, "", hash(shown.open));
  filter();
});
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("filters").addEventListener("reset", () => setTimeout(() => {
  history.replaceState(null, "", hash(shown.open));
  filter();
}));

/** Draw the bytes of one place at each moment. */
function bytesOf(place, looks) {
  const labels = { before: "before", after: "handler left", seen: "arrived", predicted: "predicted" };
  const moments = Object.keys(labels).filter((moment) => looks[moment]);
  const before = octets(looks.before), predicted = octets(looks.predicted);
  return dump(place, moments.map((moment) => [labels[moment], looks[moment]]), (index, at, octet) => {
    const moment = moments[index];
    if (moment === "seen" && looks.predicted && octet !== predicted[at]) {
      return { class: "wrong", title: "not as predicted" };
    }
    return moment !== "before" && looks.before && octet !== before[at] ? { title: "changed" } : null;
  });
}

/** Draw the stack at the hit, with SP at the bottom. */
function picture(found) {
  const saved = found.saved === null ? "saved: not known" : found.saved < 0 ? "handler skipped" : `saved ${found.saved} bytes`;
  const extent = Math.max(8, ...found.parts.map(([, end]) => end)) + 8;
  const scale = Math.min(360 / extent, 2.25), bottom = 12 + extent * scale;
  const box = (kind, start, end, inset = 0) => make("rect", {
    class: kind, x: 100 - inset, y: bottom - end * scale, width: 96 + 2 * inset, height: Math.max(0.5, (end - start) * scale) });
  const drawn = make("svg", { role: "img", width: 215, height: bottom + 24, "aria-label": `The stack at the hit: ${saved}` },
    make("defs", {}, make("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      make("line", { class: "hatch", x1: 0, y1: 0, x2: 0, y2: 6 }))));
  for (const [start, end, label] of found.parts) {
    drawn.append(box("part", start, end));
    if ((end - start) * scale >= 10) {
      drawn.append(make("text", { x: 4, y: bottom - (start + end) / 2 * scale + 4 }, label));
    }
  }
  for (const [start, end] of found.corrupt) {
    drawn.append(box("corrupt", start, end));
  }
  for (const [start, end] of found.spans ?? [[0, Math.max(0, found.saved)]]) {
    if (start < Math.min(end, extent)) {
      drawn.append(box("saved", Math.max(0, start), Math.min(end, extent), 3));
    }
  }
  drawn.append(make("text", { x: 4, y: bottom + 4 }, "SP"), make("text", { x: 100, y: bottom + 18 }, saved));
  return drawn;
}

/** Draw what a cell was in each nightly run. */
function past(name, detail) {
  const turns = data.history[name];
  if (!turns) {
    return make("p", {}, data.nights.length > 1 ? `${detail.seen} in all of ${data.nights.length} nightly runs` : "This is the first nightly run.");
  }
  const words = data.nights.map((_, night) => turns.filter(([since]) => since <= night).at(-1)?.[1] ?? "not played");
  const drawn = make("svg", { role: "img", width: 14 * words.length, height: 22, "aria-label": turns.map(([since, word]) => `since nightly run ${data.nights[since]} ${word}`).join(", ") });
  const levels = [...new Set(words)];
  words.forEach((word, night) => {
    const height = 20 - 14 * levels.indexOf(word) / Math.max(1, levels.length - 1);
    drawn.append(make("rect", { class: night === words.length - 1 ? "saved" : "part", x: 14 * night + 1, y: 21 - height, width: 10, height }, make("title", {}, `nightly run ${data.nights[night]}: ${word}`)));
  });
  return make("p", {}, drawn, ` ${turns.map(([since, word]) => `since nightly run ${data.nights[since]}: ${word}`).join("; ")}`);
}

function again(column, row) {
  const [kernel, variant] = data.columns[column];
  const space = kernel.lastIndexOf(" "), compiler = kernel.slice(space + 1);
  return command("repro", "--kernel", kernel.slice(0, space), "--variant", variant, "--case", data.cases[row],
    ...(compiler === "gcc" ? [] : ["--cc", compiler]));
}

/** All that is known of the open cell. */
function report() {
  panel.hidden = shown.open < 0;
  // The map has another width now.
  draw();
  if (panel.hidden) {
    panel.replaceChildren();
    return;
  }
  const [column, row, , changed] = data.cells[shown.open];
  const detail = detailOf(shown.open), [kernel, variant] = data.columns[column];
  const title = make("h3", { id: "cell-title", tabindex: -1 }, `${kernel}: ${variant} x ${data.cases[row]}`);
  const close = make("button", { type: "button" }, "close");
  close.addEventListener("click", shut);
  const words = `${detail.seen}, ${detail.agrees ? "as predicted" : "not as predicted"}${changed ? ", and not as accepted" : ""}`;
  const spans = Object.entries(detail.damage).map(([place, ranges]) =>
    `${place}: byte ${ranges.map(([start, end]) => (end === start + 1 ? start : `${start} to ${end - 1}`)).join(", ")}`);
  panel.replaceChildren(
    make("div", { class: "top" }, title, close),
    make("p", { class: detail.agrees && !changed ? "good" : "bad" }, words),
    make("h3", {}, "Bytes"),
    make("div", { class: "grid" },
      make("div", {}, ...Object.entries(detail.looks).map(([place, looks]) => bytesOf(place, looks))),
      ...(detail.picture ? [picture(detail.picture)] : [])),
    ...list("Why", detail.reasons),
    ...list("Corrupt", spans),
    ...(detail.console.length ? [make("h3", {}, "Console"), ...detail.console.map((text) => make("pre", {}, text))] : []),
    make("h3", {}, "Nightly runs"), past(nameOf(shown.open), detail),
    make("h3", {}, "Again"), make("pre", {}, again(column, row)));
  title.focus();
}

function shut() {
  location.hash = hash(-1);
  go(shown.row, shown.column);
}

panel.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    shut();
  }
});
addEventListener("hashchange", readHash);

addEventListener("beforeprint", () => {
  const cells = shown.rows.length * shown.columns.length;
  const fit = cells <= PRINTED;
  map.hidden = !fit;
  byId("print-note").textContent = fit ? "" : `The map has ${cells.toLocaleString("en")} cells: filter it down to ${PRINTED.toLocaleString("en")} to print them.`;
  if (fit) {
    draw(true);
  }
});
addEventListener("afterprint", () => {
  map.hidden = false;
  byId("print-note").textContent = "";
  draw();
});

fillFilters();
readHash();
