// Sections, in the order of the page: elements, the server, the API key, tabs, panels, inputs, pieces of results, and
// what each tab asks and shows. Whatever comes from the server enters the page as text, never as HTML.

// --------------------------------------------------------------------------------------------------------- Elements

const byId = (id) => document.getElementById(id);

/** An element; names in `properties` are properties where the element has them, "--x" variables of CSS, else attributes. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("--")) element.style.setProperty(name, value);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function makeSvg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const unseen = (text) => make("span", { className: "unseen" }, text);
const button = (text, onclick, properties = {}) => make("button", { type: "button", onclick, ...properties }, text);

/**
 * Make rows of elements one stop of the Tab key, in which arrow keys, Home and End move the focus.
 * A single row goes round at its ends.
 */
function rove(container, rows, current = rows[0][0]) {
  const elements = new Set(rows.flat());
  for (const element of elements) element.tabIndex = -1;
  const hold = (element) => {
    current.tabIndex = -1;
    current = element;
    current.tabIndex = 0;
  };
  hold(current);
  container.addEventListener("focusin", ({ target }) => elements.has(target) && hold(target));
  container.addEventListener("keydown", (event) => {
    if (!elements.has(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    const next = neighbour(rows, event.target, event.key);
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  return hold;
}

function neighbour(rows, element, key) {
  const row = rows.findIndex((cells) => cells.includes(element));
  const cells = rows[row];
  const column = cells.indexOf(element);
  const round = rows.length === 1 ? cells.length : 0;
  switch (key) {
    case "ArrowLeft": return cells[column - 1 + (column === 0 ? round : 0)];
    case "ArrowRight": return cells[column + 1 - (column === cells.length - 1 ? round : 0)];
    case "ArrowUp": return rows[row - 1]?.[column];
    case "ArrowDown": return rows[row + 1]?.[column];
    case "Home": return rows.length > 1 && cells.length === 1 ? rows[0][0] : cells[0];
    case "End": return rows.length > 1 && cells.length === 1 ? rows.at(-1)[0] : cells.at(-1);
    default: return undefined;
  }
}

const count = (number, one, more = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : more}`;
const duration = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`);

// ------------------------------------------------------------------------------------------------------- The server

const KEY = "bertsmith-api-key"; // in sessionStorage

/** What a person is told when a request fails. */
class Refusal extends Error {
  constructor(message, response) {
    super(message);
    this.status = response?.status;
    this.requestId = response?.headers.get("x-request-id");
  }
}

/** Ask the server: POST `body`, or GET without one. Addresses are relative, so that the page works under a prefix. */
async function ask(path, body, signal) {
  const key = sessionStorage.getItem(KEY);
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  const began = performance.now();
  let response;
  let text;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The server can't be reached. Is it running?");
  }
  const answer = parsed(text);
  if (!response.ok) throw new Refusal(complaintOf(response, answer), response);
  if (answer === undefined) throw new Refusal("The server's answer is not JSON.", response);
  return { answer, milliseconds: performance.now() - began, requestId: response.headers.get("x-request-id") };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function complaintOf(response, answer) {
  const message = answer?.error ?? `The server answered ${response.status} ${response.statusText}`.trim();
  if (response.status !== 429) return message;
  const seconds = Number(response.headers.get("Retry-After"));
  const sentence = /[.!?]$/.test(message) ? message : `${message}.`;
  return `${sentence} Try again ${seconds > 0 ? `in ${count(seconds, "second")}` : "in a moment"}.`;
}

/** The same request for a shell. */
function curlCommand(path, body) {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  return [
    `curl -s ${new URL(path, document.baseURI).href}`,
    ...(sessionStorage.getItem(KEY) ? ['  -H "Authorization: Bearer $API_KEY"'] : []),
    `  -H 'Content-Type: application/json'`,
    `  -d ${quoted(JSON.stringify(body))}`,
  ].join(" \\\n");
}

// ------------------------------------------------------------------------------------------------------ The API key

/** Show the field for the key; its submit starts the page again. */
function askForKey() {
  const refused = sessionStorage.getItem(KEY) !== null;
  sessionStorage.removeItem(KEY);
  byId("page-alert").textContent = refused ? "The server does not accept this API key." : "";
  byId("served").textContent = "This server answers those who have an API key.";
  byId("key-form").hidden = false;
  byId("api-key").select();
  byId("api-key").focus();
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, byId("api-key").value);
  start();
});

// ------------------------------------------------------------------------------------------------------------- Tabs

let panels = [];
const openPanel = () => panels.find((panel) => !panel.element.hidden);

async function start() {
  byId("page-alert").textContent = "";
  try {
    const { answer: info } = await ask("info");
    byId("key-form").hidden = true;
    byId("served").textContent = servedLine(info);
    if (panels.length) panels.forEach((panel) => panel.showCommand()); // the key came later
    else build(info);
  } catch (error) {
    if (error.status === 401) askForKey();
    else {
      byId("served").textContent = "";
      byId("page-alert").textContent = error.message;
    }
  }
}

function servedLine({ models, indexes }) {
  if (!models.length) return "bertsmith serves no model here.";
  const served = models.length === 1 ? models[0].id : count(models.length, "model");
  return `${[served, ...(indexes.length ? [count(indexes.length, "index", "indexes")] : [])].join(" and ")}, served by bertsmith.`;
}

function build(info) {
  panels = KINDS.map((kind) => ({ ...MODEL_KIND, ...kind }))
    .map((kind) => [kind, kind.subjects(info)])
    .filter(([, subjects]) => subjects.length)
    .map(([kind, subjects]) => new Panel(kind, subjects));
  if (!panels.length) return;
  byId("panels").append(...panels.map((panel) => panel.element));
  byId("tabs").append(...panels.map((panel) => panel.tab));
  byId("tabs").hidden = false;
  const hold = rove(byId("tabs"), [panels.map((panel) => panel.tab)]);
  const openNamed = () => {
    const named = panels.find((panel) => `#${panel.kind.id}` === location.hash) ?? panels[0];
    hold(named.tab);
    openTab(named);
  };
  window.addEventListener("hashchange", openNamed);
  openNamed();
}

function openTab(chosen) {
  for (const panel of panels) {
    panel.element.hidden = panel !== chosen;
    panel.tab.setAttribute("aria-selected", String(panel === chosen));
  }
  document.title = `${chosen.kind.tab} – bertsmith playground`;
  if (location.hash !== `#${chosen.kind.id}`) history.replaceState(null, "", `#${chosen.kind.id}`);
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing || event.repeat) return;
  if (byId("key-form").contains(event.target)) return;
  event.preventDefault();
  openPanel()?.run();
});

// ----------------------------------------------------------------------------------------------------------- Panels

/** One tab and its panel: a form, the result of its last run, and the request behind it. */
class Panel {
  constructor(kind, subjects) {
    this.kind = kind;
    this.element = byId("panel-template").content.firstElementChild.cloneNode(true);
    this.element.id = `panel-${kind.id}`;
    this.element.setAttribute("aria-labelledby", `tab-${kind.id}`);
    this.tab = button(kind.tab, () => openTab(this), {
      id: `tab-${kind.id}`,
      role: "tab",
      "aria-controls": this.element.id,
      onfocus: () => openTab(this),
    });
    this.controls = [];
    this.listen();
    this.setSubject(subjects[0], subjects);
  }

  part(name) {
    return this.element.querySelector(`[data-part="${name}"]`);
  }

  listen() {
    const form = this.element.querySelector("form");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.run();
    });
    form.addEventListener("input", () => this.edited());
    this.part("keys").textContent = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘ Enter" : "Ctrl + Enter";
    this.part("copy").addEventListener("click", () => this.copy());
  }

  /** Take another model or index: its own form, with what was typed kept where the form has the same input. */
  setSubject(subject, subjects) {
    const typed = Object.fromEntries(this.controls.map((control) => [control.name, control.typed()]));
    this.subject = subject;
    this.part("title").textContent = this.kind.title(subject) ?? this.kind.tab;
    this.part("lead").textContent = this.kind.lead(subject);
    this.part("subject").replaceChildren(...this.subjectPicker(subjects));
    this.controls = this.kind.fields(subject).map((field) => makeControl(this.kind.id, field, typed[field.name]));
    this.part("fields").replaceChildren(...this.controls.map((control) => control.element));
    this.running?.abort();
    this.settle();
    this.clear();
    this.edited();
  }

  subjectPicker(subjects) {
    const facts = make("p", { className: "note facts" }, this.kind.facts(this.subject));
    if (subjects.length === 1) {
      facts.prepend(make("b", {}, this.subject.id), " · ");
      return [facts];
    }
    const id = `${this.kind.id}-subject`;
    const onchange = () => {
      this.setSubject(subjects[select.selectedIndex], subjects);
      byId(id).focus();
    };
    const select = make("select", { id, onchange }, ...subjects.map((one) => make("option", {}, one.id)));
    select.selectedIndex = subjects.indexOf(this.subject);
    return [make("label", { htmlFor: id }, this.kind.noun), select, facts];
  }

  values() {
    return Object.fromEntries(this.controls.map((control) => [control.name, control.read()]));
  }

  body(values) {
    return { [this.kind.noun.toLowerCase()]: this.subject.id, ...this.kind.body(values) };
  }

  edited() {
    this.result?.stale?.();
    this.showCommand();
  }

  /** The first input that is empty and should not be, or what the tab itself says of the values. */
  complaint(values) {
    const empty = this.controls.find(({ name, optional }) => !optional && String(values[name]).trim() === "");
    if (!empty) return this.kind.check(values);
    empty.focus();
    return `“${empty.label}” is empty.`;
  }

  async run() {
    const values = this.values();
    this.running?.abort();
    const complaint = this.complaint(values);
    if (complaint) {
      this.settle();
      this.fail(new Refusal(complaint));
      return;
    }
    const running = new AbortController();
    this.running = running;
    this.showBusy(true);
    try {
      this.show(await ask(this.kind.path, this.body(values), running.signal), values);
    } catch (error) {
      if (error.name !== "AbortError") this.fail(error);
    } finally {
      if (this.running === running) this.settle();
    }
  }

  settle() {
    this.running = undefined;
    this.showBusy(false);
  }

  showBusy(busy) {
    this.part("run").textContent = busy ? "Running…" : "Run";
    this.element.classList.toggle("busy", busy);
    this.part("result").setAttribute("aria-busy", String(busy));
    if (busy) for (const name of ["alert", "status"]) this.part(name).textContent = "";
  }

  show({ answer, milliseconds, requestId }, values) {
    this.result = this.kind.show(answer, values, this);
    this.part("result").replaceChildren(...this.result.nodes);
    this.part("result").hidden = false;
    this.part("status").replaceChildren(unseen(this.result.summary), duration(milliseconds));
    this.part("facts").textContent = `Took ${duration(milliseconds)}${requestId ? `, request ${requestId}` : ""}`;
    this.result.placed?.();
  }

  fail(error) {
    this.clear();
    this.part("alert").textContent = error.message;
    this.part("facts").textContent = error.requestId ? `Request ${error.requestId}` : "";
    if (error.status === 401) askForKey();
  }

  clear() {
    this.result = undefined;
    this.part("result").hidden = true;
    this.part("result").replaceChildren();
    for (const name of ["alert", "status", "facts"]) this.part(name).textContent = "";
  }

  showCommand() {
    this.part("command").textContent = curlCommand(this.kind.path, this.body(this.values()));
  }

  async copy() {
    const command = this.part("command");
    try {
      await navigator.clipboard.writeText(command.textContent);
      this.part("copy").textContent = "Copied";
    } catch { // browsers lend the clipboard to https and localhost only
      getSelection().selectAllChildren(command);
      this.part("copy").textContent = "Selected: copy it";
    }
    setTimeout(() => (this.part("copy").textContent = "Copy"), 2000);
  }
}

// ----------------------------------------------------------------------------------------------------------- Inputs

/**
 * A field {name, label, kind, example, optional, rows} becomes a control: the same with {element, read(), typed(),
 * focus()}. typed: what is read, unless it is the example
 */
function makeControl(tab, field, typed) {
  const id = `${tab}-${field.name}`;
  const parts = CONTROLS[field.kind](id, field, typed ?? field.example);
  const label = make("label", { htmlFor: id }, field.label);
  return {
    ...field,
    element: make("div", { className: "field" }, label, ...parts.nodes),
    read: parts.read,
    typed: () => (String(parts.read()) === String(field.example) ? undefined : parts.read()),
    focus: () => byId(id).focus(),
  };
}

const makeArea = (id, rows, value) => make("textarea", { id, rows, value, dir: "auto" });
const makeLine = (id, value) => make("input", { id, value, dir: "auto", autocomplete: "off" });

const CONTROLS = {
  text(id, field, value) {
    const input = makeArea(id, field.rows ?? 3, value);
    return { nodes: [input], read: () => input.value };
  },

  line(id, field, value) {
    const input = makeLine(id, value);
    return { nodes: [input], read: () => input.value };
  },

  lines(id, field, value) {
    const input = makeArea(id, field.rows ?? 6, value.join("\n"));
    return { nodes: [input], read: () => input.value.split("\n").map((line) => line.trim()).filter(Boolean) };
  },

  number(id, field, value) {
    const input = make("input", { id, type: "number", min: field.min, max: field.max, value });
    return { nodes: [input], read: () => Math.min(field.max, Math.max(field.min, Math.round(input.value) || 0)) };
  },

  masked(id, field, value) {
    const input = makeArea(id, field.rows ?? 3, value);
    const insert = () => {
      input.setRangeText(MASK, input.selectionStart, input.selectionEnd, "end");
      input.focus();
      input.dispatchEvent(new Event("input", { bubbles: true }));
    };
    return { nodes: [input, button(`Insert ${MASK}`, insert)], read: () => input.value };
  },

  endings(id, field, value) {
    const list = make("ol", { className: "endings" });
    const tell = () => list.dispatchEvent(new Event("input", { bubbles: true }));
    const renumber = () => {
      [...list.children].forEach((item, index) => {
        const [input, remove] = item.children;
        input.id = index ? `${id}-${index + 1}` : id;
        input.setAttribute("aria-label", `Ending ${index + 1}`);
        remove.setAttribute("aria-label", `Remove ending ${index + 1}`);
        remove.disabled = list.children.length <= 2;
      });
    };
    const add = (text) => {
      const item = make("li", {}, makeLine("", text), button("×", () => removeItem(item)));
      list.append(item);
      renumber();
      return item;
    };
    const removeItem = (item) => {
      const near = item.previousElementSibling ?? item.nextElementSibling;
      item.remove();
      renumber();
      near.firstChild.focus();
      tell();
    };
    const addEmpty = () => {
      add("").firstChild.focus();
      tell();
    };
    value.forEach(add);
    const read = () => [...list.children].map((item) => item.firstChild.value).filter((text) => text.trim());
    return { nodes: [list, button("Add an ending", addEmpty)], read };
  },
};

// ------------------------------------------------------------------------------------------------ Pieces of results

const quote = (text) => `“${text}”`;
const FOLD = 12; // bars shown before the rest is folded away
const WORDY = 32; // characters from which a label stands above its bar

/**
 * Bars, one a line. item: {label, value, share, strong, tick}
 * label: text or an element; value: the number shown; share: length of the bar from 0 to 1, the value unless given;
 * strong: stands out; tick: goes before the label
 */
function makeBars(items, { name, ordered = false } = {}) {
  const list = make(ordered ? "ol" : "ul", { className: "bars", "aria-label": name });
  const text = ({ label }) => label.textContent ?? label;
  list.classList.toggle("wordy", items.some((item) => text(item).length > WORDY));
  list.append(...items.map(makeBar));
  if (items.length <= FOLD) return [list];
  const folded = [...list.children].slice(FOLD);
  const fold = (hide) => {
    folded.forEach((item) => (item.hidden = hide));
    more.textContent = hide ? `Show all ${items.length}` : `Show the first ${FOLD}`;
    more.setAttribute("aria-expanded", String(!hide));
  };
  const more = button("", () => fold(!folded[0].hidden));
  fold(true);
  return [list, more];
}

function makeBar({ label, value, share = value, strong = false, tick = "" }) {
  const width = `${100 * Math.min(1, Math.max(0, share))}%`;
  return make(
    "li",
    { className: strong ? "strong" : "" },
    make("span", { className: "label", dir: "auto" }, tick, label),
    make("span", { className: "track", "aria-hidden": "true" }, make("i", { "--width": width })),
    make("span", { className: "number" }, value.toFixed(3)),
  );
}

/** Shares for bars of scores on any scale: probabilities as they are, others from the lowest to the highest. */
function sharesOf(scores) {
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  if (low >= 0 && high <= 1) return scores;
  return scores.map((score) => (high > low ? (score - low) / (high - low) : 1));
}

/** A text cut wherever a range begins or ends: [{text, over: [range, ...]}]. Offsets count code points. */
function cutText(text, ranges) {
  const characters = Array.from(text); // JavaScript's own offsets count an emoji as two
  const cuts = new Set([0, characters.length, ...ranges.flatMap(({ start, end }) => [start, end])]);
  const places = [...cuts].sort((a, b) => a - b);
  return places.slice(1).map((end, index) => ({
    text: characters.slice(places[index], end).join(""),
    over: ranges.filter((range) => range.start <= places[index] && range.end >= end),
    end,
  }));
}

/** A colour for each name, spread round the wheel; the same names have the same colours. */
function huesOf(names) {
  return new Map(names.map((name, index) => [name, (250 + index * 137.5) % 360]));
}

/**
 * A table of numbers, shaded; one stop of the Tab key, in which arrow keys move. A line below reads out the cell.
 * labels of rows and columns: texts; shade: number -> -1..1; read: (row, column) -> text of that line
 */
function makeHeatTable({ name, rows, columns, values, shade, digits, read, className }) {
  const readout = make("p", { className: "note readout" }, "Point at a cell, or move with the arrow keys, to read it.");
  const header = (text, scope) => make("th", { scope, title: text, dir: "auto" }, make("span", {}, text));
  const top = columns.map((text) => header(text, "col"));
  const grid = values.map((numbers, row) => [
    header(rows[row], "row"),
    ...numbers.map((number, column) => makeHeatCell(number, shade(number, row, column), digits)),
  ]);
  const table = make(
    "table",
    { className: `heat ${className}`, role: "grid", "aria-label": name, "--columns": columns.length },
    make("thead", {}, make("tr", {}, make("td"), ...top)),
    make("tbody", {}, ...grid.map((cells) => make("tr", {}, ...cells))),
  );
  const tell = ({ target }) => {
    const cell = target.closest("td, th");
    const row = cell?.parentElement.sectionRowIndex ?? 0;
    const column = (cell?.cellIndex ?? 0) - 1;
    if (cell?.title) readout.textContent = cell.title;
    else if (column >= 0) readout.textContent = read(row, column);
  };
  table.addEventListener("mouseover", tell);
  table.addEventListener("focusin", tell);
  rove(table, [[table.rows[0].cells[0], ...top], ...grid], grid[0][1]);
  return [make("div", { className: "scroll" }, table), readout];
}

function makeHeatCell(number, shade, digits) {
  const tone = shade < 0 ? "below" : "";
  return make("td", { className: tone, "--shade": Math.abs(shade).toFixed(3) }, number.toFixed(digits));
}

@@TABS@@
