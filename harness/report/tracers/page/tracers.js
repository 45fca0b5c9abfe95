// SPDX-License-Identifier: GPL-2.0-only
const panel = byId("cell"), maps = byId("maps");
const nameOf = (fragment) => new URLSearchParams(fragment.slice(1)).get("cell");
const links = new Map([...maps.querySelectorAll("a")].map((link) => [nameOf(link.hash), link]));
// The link of the cell that is shown, or was last.
let chosen = null;

/** Draw an argument as it was passed, as it was read, and as the function saw it. */
function bytesOf(argument, index) {
  const lines = [["as passed", argument.passed]];
  if (argument.met !== argument.passed) {
    lines.push(["as the tracer found it", argument.met]);
  }
  if (argument.value !== null) {
    lines.push(["as read", argument.value]);
  }
  if (argument.arrived !== null) {
    lines.push(["as the function saw it", argument.arrived]);
  }
  const met = octets(argument.met);
  const at = argument.copy_at === null ? "" : `, a copy at 0x${argument.copy_at.toString(16)}`;
  const read = argument.read === null ? "" : `: ${argument.read}`;
  return dump(`argument ${index}, ${argument.type}${at}${read}`, lines, (line, place, octet) => {
    if (lines[line][0] === "as read") {
      return argument.read !== "right" && octet && octet !== met[place] ? { title: "not what was there" } : null;
    }
    const changed = lines[line][0] === "as the function saw it" && argument.changed.some(([start, end]) => start <= place && place < end);
    return changed ? { class: "wrong", title: "changed" } : null;
  });
}

function again(kernel, name, played) {
  const [tracer, variant] = name.split(" beside ");
  return command("tracers", "--kernel", kernel, "--tracer", tracer, "--case", played,
    ...(variant ? ["--variant", variant] : []));
}

/** Show the cell that the address names. */
function report() {
  const name = nameOf(location.hash);
  const detail = data.details[data.cells[name]];
  chosen?.classList.remove("open");
  panel.hidden = !detail;
  if (!detail) {
    panel.replaceChildren();
    return;
  }
  chosen = links.get(name);
  chosen.classList.add("open");
  const [kernel, tracer, played] = name.split("|");
  const title = make("h3", { id: "cell-title", tabindex: -1 }, `${kernel}: ${tracer} x ${played}`);
  const close = make("button", { type: "button" }, "close");
  close.addEventListener("click", shut);
  const state = { "as predicted": "good", "not as predicted": "bad", "not predicted": "odd" }[detail.status];
  panel.replaceChildren(
    make("div", { class: "top" }, title, close),
    make("p", { class: state }, `${detail.short}, ${detail.status}`),
    make("p", {}, `The function takes ${detail.function || "nothing"}.`),
    ...list("Why", detail.mismatches),
    ...list("What the kernel says", detail.refused === null ? [] : [detail.refused]),
    ...detail.arguments.map((number, index) => bytesOf(data.arguments[number], index)),
    make("h3", {}, "Again"),
    make("pre", {}, again(kernel, tracer, played)));
  chosen.scrollIntoView({ block: "nearest", inline: "nearest" });
  title.focus();
}

function shut() {
  history.pushState(null, "", location.pathname + location.search);
  report();
  chosen.focus();
}

panel.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    shut();
  }
});
maps.addEventListener("mouseover", (event) => {
  const link = event.target.closest("a");
  if (link) {
    link.title = link.getAttribute("aria-label");
  }
});
addEventListener("hashchange", report);
addEventListener("popstate", report);
report();
