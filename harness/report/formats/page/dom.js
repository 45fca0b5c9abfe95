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
