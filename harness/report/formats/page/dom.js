// SPDX-License-Identifier: GPL-2.0-only
"use strict";

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);

/** Create an element with attributes and children; strings become text. */
function make(name, attributes = {}, ...children) {
  const svg = ["svg", "rect", "text", "title", "line", "pattern", "defs"].includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** Return the octets of hexadecimal digits. */
const octets = (text) => (text ? text.match(/../g) : []);

/** Return a heading and its lines, or nothing without any. */
function list(title, lines) {
  return lines.length ? [make("h3", {}, title), make("ul", {}, ...lines.map((line) => make("li", {}, line)))] : [];
}

/** Draw lines of octets below each other, sixteen in a row; `mark` gives the attributes of an octet's mark, or null. */
function dump(caption, lines, mark) {
  const bytes = lines.map(([label, text]) => [label, octets(text)]);
  const size = Math.max(...bytes.map(([, found]) => found.length));
  const table = make("table", {}, make("caption", {}, caption));
  for (let start = 0; start < size; start += 16) {
    bytes.forEach(([label, found], index) => {
      const line = make("tr", index ? {} : { class: "first" }, make("th", { scope: "row" }, `${label} ${start}`));
      for (let at = start; at < Math.min(size, start + 16); at++) {
        const octet = found[at] ?? "", marked = mark(index, at, octet);
        line.append(make("td", {}, marked ? make("mark", marked, octet) : octet));
      }
      table.append(line);
    });
  }
  return make("div", { class: "wide" }, table);
}

/** Return a command of this program for a shell. */
function command(...words) {
  const quoted = (word) => (/^[\w.:\/@+=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
  return ["jprobe-harness", ...words].map(quoted).join(" ");
}
