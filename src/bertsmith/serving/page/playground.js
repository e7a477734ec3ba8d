// Sections, in the order of the page: elements, the server, the API key, tabs, panels, inputs, pieces of results, and
// what each tab asks and shows. Whatever comes from the server enters the page as text, never as HTML.

// --------------------------------------------------------------------------------------------------------- Elements

const byId = (id) => document.getElementById(id);

/** An element. `properties`: variables of CSS (--x), properties that the element has by the name, else attributes. */
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
  const line = cells.length > 1 ? cells : rows.flat();
  const round = rows.length === 1;
  switch (key) {
    case "ArrowLeft": return cells[column - 1] ?? (round ? cells.at(-1) : undefined);
    case "ArrowRight": return cells[column + 1] ?? (round ? cells[0] : undefined);
    case "ArrowUp": return rows[row - 1]?.[column];
    case "ArrowDown": return rows[row + 1]?.[column];
    case "Home": return line[0];
    case "End": return line.at(-1);
    default: return undefined;
  }
}

const count = (number, one, more = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : more}`;
/** A number with decimals, and no minus before nothing but zeros. */
const decimal = (number, places = 3) => number.toFixed(places).replace(/^-(?=[0.]*$)/, "");
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
    const method = body ? "POST" : "GET";
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal });
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
  const what = message.replace(/; try again later$/, ""); // said better below
  const sentence = /[.!?]$/.test(what) ? what : `${what}.`;
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
  const searched = indexes.length ? ` and ${count(indexes.length, "index", "indexes")}` : "";
  return `${served}${searched}, served by bertsmith.`;
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
      if (error.name === "AbortError") return;
      this.fail(error instanceof Refusal ? error : new Refusal(`This page can't show the answer: ${error.message}`));
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
    this.part("status").replaceChildren(unseen(this.result.summary), ` Took ${duration(milliseconds)}`);
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

const FOLD = 12; // bars shown before the rest is folded away
const WORDY = 24; // characters from which a label stands above its bar

/**
 * Bars, one a line; of many the last are folded away, unless they are ordered.
 * item: {label, value, share, strong, tick}
 * label: text or an element; value: the number shown; share: length of the bar from 0 to 1, the value unless given;
 * strong: stands out; tick: whether a tick goes before the label
 */
function makeBars(items, { name, ordered = false }) {
  const list = make(ordered ? "ol" : "ul", { className: "bars", "aria-label": name }, ...items.map(makeBar));
  list.classList.toggle("wordy", items.some(({ label }) => (label.textContent ?? label).length > WORDY));
  if (ordered || items.length <= FOLD) return [list];
  const folded = [...list.children].slice(FOLD);
  const fold = (hide) => {
    for (const item of folded) item.hidden = hide;
    more.textContent = hide ? `Show all ${items.length}` : `Show the first ${FOLD}`;
    more.setAttribute("aria-expanded", String(!hide));
  };
  const more = button("", () => fold(!folded[0].hidden));
  fold(true);
  return [list, more];
}

function makeBar({ label, value, share = value, strong = false, tick = false }) {
  const width = `${100 * Math.min(1, Math.max(0, share))}%`;
  return make(
    "li",
    { className: strong ? "strong" : "" },
    make("span", { className: "label", dir: "auto" }, tick ? "✓ " : "", label),
    make("span", { className: "track", "aria-hidden": "true" }, make("i", { "--width": width })),
    make("span", { className: "number" }, decimal(value)),
  );
}

const makeChoice = (text, onclick) => button(text, onclick, { className: "choice", "aria-pressed": "false" });

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

/**
 * A table of numbers, shaded; one stop of the Tab key, in which arrow keys move. A line below reads out the cell.
 * rows, columns: labels; shade: (number, row, column) -> -1..1; read: (row, column) -> text of that line
 */
function makeHeatTable({ name, className, rows, columns, values, shade, read }) {
  const header = (text, scope) => make("th", { scope, title: text, dir: "auto" }, make("span", {}, text));
  const cell = (number, tone) =>
    make("td", { className: tone < 0 ? "below" : "", "--shade": decimal(Math.abs(tone)) }, decimal(number, 2));
  const top = [make("td"), ...columns.map((text) => header(text, "col"))];
  const grid = values.map((numbers, row) => [
    header(rows[row], "row"),
    ...numbers.map((number, column) => cell(number, shade(number, row, column))),
  ]);
  const table = make(
    "table",
    { className: `heat ${className}`, role: "grid", "aria-label": name, "--columns": columns.length },
    make("thead", {}, make("tr", {}, ...top)),
    make("tbody", {}, ...grid.map((cells) => make("tr", {}, ...cells))),
  );
  const readout = make("p", { className: "note readout" }, "Point at a cell, or move with the arrow keys, to read it.");
  const tell = ({ target }) => {
    const place = target.closest("td, th");
    if (!place || place === top[0]) return;
    readout.textContent = place.title || read(place.parentElement.sectionRowIndex, place.cellIndex - 1);
  };
  table.addEventListener("mouseover", tell);
  table.addEventListener("focusin", tell);
  rove(table, [top, ...grid], grid[0][1]);
  return [make("div", { className: "scroll" }, table), readout];
}

// --------------------------------------------------------------------------------------- What each tab asks and shows

// A kind of tab: {id, tab, path, lead, fields, body, show}, and what it does otherwise than MODEL_KIND.
// Its subject is a model, or an index. lead: subject -> what the tab does, in a sentence; fields: subject -> inputs,
// see makeControl; check: values of the inputs -> what is wrong with them, if anything; body: values -> the body of the
// request, but for the subject.
// show: (answer, values, panel) -> {nodes, summary}, what to show and what a screen reader says of it; and maybe
// placed(), called when the nodes are on the page, stale(), when an input is edited, recolour(), when light turns dark.

const MODEL_KIND = {
  noun: "Model",
  subjects({ models }) {
    return models.filter(({ task }) => task === this.task);
  },
  facts: (model) =>
    facts(model.dimensions && `${model.dimensions} dimensions`, size(model), `up to ${model.max_length} tokens`,
      `${model.engine} ${model.precision}`, model.lowercase && "lower case"),
  title: () => undefined, // the name of the tab
  check: () => undefined,
};

const MASK = "[MASK]";
const facts = (...texts) => texts.filter(Boolean).join(" · ");
const size = ({ layers, heads }) => `${count(layers, "layer")} of ${count(heads, "head")}`;

/** Inputs of a model of texts, pairs of texts, or either. */
function textOrPair({ pairs }, example, [first, second]) {
  if (pairs === false) return [{ name: "text", label: "Text", kind: "text", example }];
  if (pairs === null) {
    return [
      { name: "text", label: "Text", kind: "text", rows: 2, example },
      { name: "pair", label: "Second text, for a pair", kind: "text", rows: 2, example: "", optional: true },
    ];
  }
  return [
    { name: "text", label: "First text", kind: "text", rows: 2, example: first },
    { name: "pair", label: "Second text", kind: "text", rows: 2, example: second },
  ];
}

const PREDICTING = {
  path: "predict",
  body: ({ text, pair }) => ({ inputs: pair ? [[text, pair]] : text }),
};
const whatOf = (pairs) => (pairs ? "pair of texts" : "text");
const predictionOf = (answer, { pair }) => (pair ? answer[0] : answer);

const classify = {
  ...PREDICTING,
  id: "classify",
  task: "classify",
  tab: "Classify",
  title: labelHeading,
  lead: ({ pairs, multi_label: several }) =>
    `How probable each label is for a ${whatOf(pairs)}${several ? "; several may hold at once" : ""}.`,
  fields: (model) =>
    textOrPair(model, "The plot is thin, but the acting is superb and I left the cinema smiling.", [
      "A man is playing a guitar on a stage.",
      "Someone is making music.",
    ]),

  show(answer, values, { subject: { multi_label: several } }) {
    const items = predictionOf(answer, values).map(({ label, score }, index) => {
      const strong = several ? score >= 0.5 : index === 0;
      return { label, value: score, strong, tick: several && strong };
    });
    const nodes = makeBars(items, { name: "Probability of each label" });
    if (several) nodes.push(make("p", { className: "note" }, "✓ marks labels of probability 0.5 or more."));
    const told = items.filter(({ strong }) => strong).map(({ label, value }) => `${label} ${decimal(value)}`);
    return { nodes, summary: told.join(", ") || "No label of probability 0.5 or more" };
  },
};

function labelHeading({ labels, multi_label: several }) {
  if (!labels) return undefined;
  if (labels.length > 5) return `${labels.slice(0, 3).join(", ")} and ${labels.length - 3} more`;
  return `${labels.slice(0, -1).join(", ")} ${several ? "and" : "or"} ${labels.at(-1)}`;
}

const score = {
  ...PREDICTING,
  id: "score",
  task: "regress",
  tab: "Score",
  lead: ({ pairs }) => `A number for a ${whatOf(pairs)}, on the scale that the model was trained on.`,
  fields: (model) =>
    textOrPair(model, "Clear, short and to the point: I would read it again.", [
      "A plane is taking off.",
      "An air plane is taking off.",
    ]),

  show(answer, values) {
    const number = decimal(predictionOf(answer, values)[0].score);
    return { nodes: [make("p", { className: "figure" }, number)], summary: "Score" };
  },
};

const entities = {
  id: "entities",
  task: "tag",
  tab: "Entities",
  path: "tag",
  lead: ({ labels }) =>
    labels?.some((label) => label.startsWith("B-")) ? "The spans of a text that have a type." : "A tag for every word.",
  fields: () => [
    {
      name: "text", label: "Text", kind: "text",
      example: "Ada Lovelace met Charles Babbage in London in 1833. The Science Museum there built his engine in 1991.",
    },
  ],
  body: ({ text }) => ({ inputs: [text] }),
  show: ([answer], { text }, { subject }) =>
    answer.spans ? showSpans(text, answer.spans, subject.labels) : showTags(answer, subject.labels),
};

/** A hue for each type, the same in every text; types that no label names come last. */
function huesOf(labels, found) {
  const types = (labels ?? []).filter((label) => label !== "O").map((label) => label.replace(/^[BIES]-/, ""));
  return new Map([...new Set([...types, ...found])].map((type, index) => [type, (250 + index * 137.5) % 360]));
}

function showSpans(text, spans, labels) {
  const types = spans.map(({ type }) => type);
  const hues = huesOf(labels, types);
  const shown = cutText(text, spans).map(({ text: piece, over: [span], end }) => {
    if (!span) return piece;
    const tag = end === span.end ? [make("small", {}, span.type)] : [];
    return make("mark", { className: "span", "--hue": hues.get(span.type) }, piece, ...tag);
  });
  const nodes = [make("p", { className: "reading", dir: "auto" }, ...shown), makeLegend(types, hues)];
  if (!spans.length) nodes.push(make("p", { className: "note" }, "The model finds none here."));
  return { nodes, summary: spans.map((span) => `${span.text}: ${span.type}`).join(", ") || "None found" };
}

function showTags({ words, tags }, labels) {
  const hues = huesOf(labels, tags);
  const shown = words.map((word, index) => {
    const tag = tags[index];
    return make("li", { "--hue": hues.get(tag) }, make("span", { dir: "auto" }, word), make("small", {}, tag));
  });
  return {
    nodes: [make("ul", { className: "tags", "aria-label": "Words and tags" }, ...shown), makeLegend(tags, hues)],
    summary: words.map((word, index) => `${word} ${tags[index]}`).join(", "),
  };
}

function makeLegend(types, hues) {
  const items = [...hues].filter(([type]) => types.includes(type)).map(([type, hue]) => {
    const number = types.filter((one) => one === type).length;
    return make("li", { "--hue": hue }, type, make("span", { className: "soft" }, ` ${number}`));
  });
  return make("ul", { className: "legend", "aria-label": "Types" }, ...items);
}

const answering = {
  id: "answer",
  task: "answer",
  tab: "Answer",
  path: "answer",
  lead: () => "The words of a context that answer a question, where it has an answer.",
  fields: () => [
    { name: "question", label: "Question", kind: "line", example: "Which town did the lighthouse keeper move to?" },
    {
      name: "context", label: "Context", kind: "text", rows: 5,
      example:
        "The lighthouse on Gull Island was built in 1861 and kept by the same family for three generations. When it " +
        "was made automatic in 1984, its last keeper, Ellen Marsh, moved to the harbour town of Whitby and opened a " +
        "bookshop.",
    },
  ],
  body: ({ question, context }) => ({ question, context }),

  show(answer, { context }) {
    const told = answer.answer || "No answer in this context";
    const probability = decimal(answer.probability);
    const words = make("span", { dir: "auto" }, told);
    const heading = make("p", { className: "figure" }, words, make("small", {}, ` ${probability}`));
    const box = make("div", { className: "reading context", dir: "auto", tabIndex: 0, "aria-label": "Context" });
    const mark = (rival) => markContext(box, context, answer, rival);
    return {
      nodes: [heading, box, make("h3", {}, "Most probable"), ...makeRivals(answer, mark)],
      summary: `${told}, probability ${probability}`,
      placed: () => mark(),
    };
  },
};

/** Write the context with the answer marked, and a rival if one is pointed at; scroll to the latter. */
function markContext(box, context, answer, rival) {
  const places = [{ ...answer, name: "best" }, { start: null, ...rival, name: "rival" }];
  const ranges = places.filter(({ start }) => start !== null);
  const pieces = cutText(context, ranges).map(({ text, over }) =>
    over.length ? make("mark", { className: over.map(({ name }) => name).join(" ") }, text) : text,
  );
  box.replaceChildren(...pieces);
  const target = box.querySelector(rival ? ".rival" : ".best");
  if (!target) return;
  const [outer, inner] = [box.getBoundingClientRect(), target.getBoundingClientRect()];
  const outside = inner.top < outer.top || inner.bottom > outer.bottom;
  if (outside) box.scrollTop += inner.top - outer.top - box.clientHeight / 3;
}

/** The best answers as bars; pointing at one or focusing it marks its place, a click keeps it marked. */
function makeRivals({ nbest, start, end }, mark) {
  let kept;
  const keep = (rival) => {
    kept = kept === rival ? undefined : rival;
    buttons.forEach((one, index) => one.setAttribute("aria-pressed", String(nbest[index] === kept)));
    mark(kept);
  };
  const buttons = nbest.map((rival) => makeChoice(rival.answer || "no answer", () => keep(rival)));
  const nodes = makeBars(
    nbest.map((rival, index) => ({
      label: buttons[index],
      value: rival.probability,
      strong: rival.start === start && rival.end === end,
    })),
    { name: "Most probable answers" },
  );
  [...nodes[0].children].forEach((item, index) => {
    for (const event of ["mouseenter", "focusin"]) item.addEventListener(event, () => mark(nbest[index]));
    for (const event of ["mouseleave", "focusout"]) item.addEventListener(event, () => mark(kept));
  });
  return nodes;
}

const choose = {
  id: "choose",
  task: "choose",
  tab: "Choose",
  path: "choose",
  lead: () => "Which of several endings goes on best from a beginning.",
  fields: () => [
    { name: "prompt", label: "Beginning", kind: "text", rows: 2, example: "She put the kettle on the stove and" },
    {
      name: "endings", label: "Endings", kind: "endings",
      example: [
        "waited for the water to boil.",
        "drove it to the airport.",
        "sang it to sleep.",
        "planted it in the garden.",
      ],
    },
  ],
  check: ({ endings }) => (endings.length < 2 ? "Give two endings or more." : undefined),
  body: ({ prompt, endings }) => ({ prompt, endings }),

  show({ choice, probabilities }, { endings }) {
    const items = probabilities.map((value, index) => ({ label: endings[index], value, strong: index === choice }));
    items.sort((a, b) => b.value - a.value);
    return {
      nodes: makeBars(items, { name: "Probability of each ending" }),
      summary: `${endings[choice]} Probability ${decimal(probabilities[choice])}`,
    };
  },
};

const fill = {
  id: "fill",
  task: "fill",
  tab: "Fill in",
  path: "fill",
  lead: () => `What may stand at each ${MASK} of a text. Choose a candidate to put it there.`,
  fields: () => [
    { name: "text", label: "Text", kind: "masked", example: `The capital of ${MASK} is Paris, on the river ${MASK}.` },
  ],
  check: ({ text }) => (text.includes(MASK) ? undefined : `There is no ${MASK} in the text.`),
  body: ({ text }) => ({ inputs: text, top_k: 8 }),

  show(answer, { text }, panel) {
    const chosen = answer.map(() => undefined);
    const pick = (place, token) => {
      chosen[place] = chosen[place] === token ? undefined : token;
      for (const one of buttons[place]) one.setAttribute("aria-pressed", String(one.textContent === chosen[place]));
      byId("fill-text").value = fillIn(text, chosen);
      panel.showCommand();
    };
    const buttons = answer.map((guesses, place) =>
      guesses.map(({ token }) => makeChoice(token, () => pick(place, token))),
    );
    const columns = answer.map((guesses, place) => {
      const title = answer.length === 1 ? MASK : `${MASK} ${place + 1} of ${answer.length}`;
      const items = guesses.map(({ probability }, index) => ({
        label: buttons[place][index],
        value: probability,
        strong: index === 0,
      }));
      return make("section", {}, make("h3", {}, title), ...makeBars(items, { name: `Candidates for ${title}` }));
    });
    const note = make("p", { className: "note", hidden: true }, "The text has changed; run it again to choose.");
    return {
      nodes: [make("div", { className: "columns" }, ...columns), note],
      summary: answer.map(([{ token, probability }]) => `${token} ${decimal(probability)}`).join(", "),
      stale() {
        for (const one of buttons.flat()) one.disabled = true;
        note.hidden = false;
      },
    };
  },
};

/** The text with tokens in place of its [MASK]s, where one was chosen; "##" says that a token goes on a word. */
function fillIn(text, tokens) {
  let place = 0;
  return text.replace(/(\s*)\[MASK\]/g, (whole, space) => {
    const token = tokens[place++];
    if (token === undefined) return whole;
    return token.startsWith("##") ? token.slice(2) : space + token;
  });
}

const MOST_SENTENCES = 30;

const similarity = {
  id: "similarity",
  task: "embed",
  tab: "Similarity",
  path: "embed",
  lead: () => "How alike sentences are: the cosine of their embeddings, at most 1.",
  fields: () => [
    {
      name: "sentences", label: "Sentences, one a line", kind: "lines", rows: 7,
      example: [
        "A man is playing a guitar on a stage.",
        "Someone performs music in front of a crowd.",
        "Prices rose faster than wages last year.",
        "Inflation outpaced pay over the past twelve months.",
        "The cat slept through the whole afternoon.",
        "My kitten dozed on the sofa until dinner.",
      ],
    },
  ],
  check({ sentences: { length } }) {
    if (length < 2) return "Give two sentences or more, one a line.";
    return length > MOST_SENTENCES ? `These are ${length} sentences; give at most ${MOST_SENTENCES}.` : undefined;
  },
  body: ({ sentences }) => ({ inputs: sentences }),

  show(vectors, { sentences }) {
    const cosines = vectors.map((one) => vectors.map((other) => dot(one, other)));
    const pair = closestPair(cosines);
    const cosine = decimal(cosines[pair[0]][pair[1]]);
    const numbered = sentences.map((sentence, index) => `${index + 1}  ${sentence}`);
    const table = makeHeatTable({
      name: "Cosines of all pairs",
      className: "cosines",
      rows: numbered,
      columns: numbered,
      values: cosines,
      shade: (number, row, column) => (row === column ? 0 : number),
      read: (row, column) => `${decimal(cosines[row][column])}: “${sentences[row]}” and “${sentences[column]}”`,
    });
    const closest = pair.map((place) => make("li", { dir: "auto" }, sentences[place]));
    return {
      nodes: [make("h3", {}, "The closest pair: ", cosine), make("ul", { className: "closest" }, ...closest), ...table],
      summary: `The closest pair, ${cosine}: ${pair.map((place) => sentences[place]).join(" ")}`,
    };
  },
};

const dot = (one, other) => one.reduce((sum, number, index) => sum + number * other[index], 0);

function closestPair(cosines) {
  const pairs = cosines.flatMap((row, first) => row.slice(first + 1).map((_, beyond) => [first, first + 1 + beyond]));
  return pairs.reduce((best, pair) => (cosines[pair[0]][pair[1]] > cosines[best[0]][best[1]] ? pair : best));
}

const rerank = {
  id: "rerank",
  task: "rerank",
  tab: "Rerank",
  path: "rerank",
  lead: () => "Texts ordered by how well each answers a query.",
  fields: () => [
    { name: "query", label: "Query", kind: "line", example: "how do vaccines work" },
    {
      name: "texts", label: "Texts, one a line", kind: "lines", rows: 5,
      example: [
        "The museum opens at ten and closes at five.",
        "A vaccine shows the immune system a harmless part of a germ, so that it knows the real one later.",
        "Vaccination campaigns ended smallpox in 1980.",
        "Works of art on loan are insured by the borrower.",
      ],
    },
  ],
  body: ({ query, texts }) => ({ query, texts, return_text: true }),
  show: (ranked) => showRanked(ranked.map((one) => ({ ...one, label: one.text }))),
};

const search = {
  id: "search",
  noun: "Index",
  tab: "Search",
  path: "search",
  subjects: ({ indexes }) => indexes,
  facts: ({ texts, model }) => facts(count(texts, "text"), `embedded by ${model}`),
  lead: () => "The texts of an index that are closest in meaning to a query.",
  fields: () => [
    { name: "query", label: "Query", kind: "line", example: "a treaty that ended a war" },
    { name: "top", label: "Results", kind: "number", min: 1, max: 50, example: 10 },
  ],
  body: ({ query, top }) => ({ query, top }),
  show: (found) =>
    showRanked(found.map((one) => ({ ...one, label: make("span", {}, one.text, make("small", {}, ` ${one.id}`)) }))),
};

/** Texts with scores, best first; the bars of scores that are not from 0 to 1 go from the lowest to the highest. */
function showRanked(ranked) {
  if (!ranked.length) return { nodes: [make("p", {}, "Nothing found.")], summary: "Nothing found" };
  const scores = ranked.map((one) => one.score);
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  const share = low >= 0 && high <= 1 ? (value) => value : (value) => (high > low ? (value - low) / (high - low) : 1);
  const items = ranked.map(({ label, score: value }, index) => {
    return { label, value, share: share(value), strong: index === 0 };
  });
  return { nodes: makeBars(items, { name: "Texts, best first", ordered: true }), summary: `Best: ${ranked[0].text}` };
}

// -------------------------------------------------------------------------------------------------------- Attention

const attention = {
  id: "attention",
  tab: "Attention",
  path: "attention",
  subjects: ({ models }) => models,
  facts: (model) => facts(model.task, size(model)),
  lead: () => "Where each token looks, in every head of every layer, for up to 64 tokens.",
  fields: () => [
    {
      name: "text", label: "Text", kind: "text", rows: 2,
      example: "The animal didn't cross the street because it was too tired.",
    },
    { name: "pair", label: "Second text, for a pair", kind: "text", rows: 1, example: "", optional: true },
  ],
  body: ({ text, pair }) => (pair ? { text, text_pair: pair } : { text }),

  show(answer) {
    const view = new AttentionView(answer);
    return {
      nodes: [view.element],
      summary: `Attention of ${count(answer.tokens.length, "token")}`,
      placed: () => view.draw(),
      recolour: () => view.drawThumbnails(),
    };
  },
};

const SPECIAL = new Set(["[CLS]", "[SEP]"]);
const SLIGHT = 0.02; // weights below this are not drawn as lines
const MANY = 32; // tokens from which the large view needs the whole width
const shadeOf = (weight) => Math.sqrt(weight); // in proportion, most heads would look empty
const asked = { layer: 0, head: 0, view: "map", bare: false }; // kept from one text to the next; bare: without SPECIAL

/** All heads small, one of them large; everything is drawn from the one answer. */
class AttentionView {
  constructor({ tokens, attentions }) {
    this.tokens = tokens;
    this.attentions = attentions;
    asked.layer = Math.min(asked.layer, attentions.length - 1);
    asked.head = Math.min(asked.head, attentions[0].length - 1);
    this.thumbnails = attentions.map((heads, layer) => heads.map((_, head) => this.makeThumbnail(layer, head)));
    const choose = () => this.choose(this.layer.selectedIndex, this.head.selectedIndex);
    this.layer = makePicker("layer", numbersTo(attentions.length), choose);
    this.head = makePicker("head", numbersTo(attentions[0].length), choose);
    this.large = make("div", { className: "large" });
    const one = make("div", {}, this.makeOptions(), this.large);
    const className = tokens.length > MANY ? "attention" : "attention beside";
    this.element = make("div", { className }, this.makeHeads(), one);
  }

  makeThumbnail(layer, head) {
    const name = `Layer ${layer + 1}, head ${head + 1}`;
    const choose = () => this.choose(layer, head);
    return button("", choose, { role: "gridcell", title: name, "aria-label": name, onfocus: choose });
  }

  makeHeads() {
    const heads = numbersTo(this.thumbnails[0].length).map((number) => make("span", { role: "columnheader" }, number));
    const rows = this.thumbnails.map((cells, layer) =>
      make("div", { role: "row" }, make("span", { role: "rowheader" }, String(layer + 1)), ...cells),
    );
    const first = make("div", { role: "row" }, make("span", { role: "columnheader" }, unseen("Layer")), ...heads);
    const grid = make(
      "div",
      { className: "thumbnails", role: "grid", "aria-label": "Heads, a row for each layer", "--heads": heads.length },
      first,
      ...rows,
    );
    this.hold = rove(grid, this.thumbnails, this.thumbnails[asked.layer][asked.head]);
    const explained = "Layers go down, heads across. The shade is the square root of the weight.";
    const note = make("p", { className: "note" }, explained);
    return make("div", {}, make("div", { className: "scroll" }, grid), note);
  }

  makeOptions() {
    const view = makePicker("view", ["Heat map", "Lines"], () => {
      asked.view = view.selectedIndex ? "lines" : "map";
      this.drawLarge();
    });
    view.selectedIndex = asked.view === "lines" ? 1 : 0;
    const onchange = () => {
      asked.bare = bare.checked;
      this.draw();
    };
    const bare = make("input", { id: "attention-bare", type: "checkbox", checked: asked.bare, onchange });
    const labelled = [["Layer", this.layer], ["Head", this.head], ["View", view]];
    return make(
      "div",
      { className: "options" },
      ...labelled.map(([name, picker]) => make("label", {}, name, picker)),
      make("label", { className: "check" }, bare, "Hide [CLS] and [SEP]"),
    );
  }

  choose(layer, head) {
    Object.assign(asked, { layer, head });
    this.hold(this.thumbnails[layer][head]);
    this.drawLarge();
  }

  /** Places of the tokens that are looked at. */
  get columns() {
    return [...this.tokens.keys()].filter((place) => !asked.bare || !SPECIAL.has(this.tokens[place]));
  }

  draw() {
    this.drawThumbnails();
    this.drawLarge();
  }

  drawThumbnails() {
    const { columns } = this;
    const colour = getComputedStyle(this.element).getPropertyValue("--blue");
    this.thumbnails.forEach((cells, layer) =>
      cells.forEach((cell, head) => cell.replaceChildren(makeCanvas(this.attentions[layer][head], columns, colour))),
    );
  }

  drawLarge() {
    this.layer.selectedIndex = asked.layer;
    this.head.selectedIndex = asked.head;
    const chosen = this.thumbnails[asked.layer][asked.head];
    for (const cell of this.thumbnails.flat()) cell.setAttribute("aria-selected", String(cell === chosen));
    const makeView = asked.view === "lines" ? makeLines : makeMap;
    this.large.replaceChildren(...makeView(this.tokens, this.attentions[asked.layer][asked.head], this.columns));
  }
}

const numbersTo = (length) => Array.from({ length }, (_, index) => String(index + 1));
const makePicker = (name, options, onchange) =>
  make("select", { id: `attention-${name}`, onchange }, ...options.map((option) => make("option", {}, option)));

function makeCanvas(weights, columns, colour) {
  const canvas = make("canvas", { width: columns.length, height: weights.length });
  const context = canvas.getContext("2d");
  context.fillStyle = colour;
  weights.forEach((row, y) =>
    columns.forEach((column, x) => {
      context.globalAlpha = shadeOf(row[column]);
      context.fillRect(x, y, 1, 1);
    }),
  );
  return canvas;
}

function makeMap(tokens, weights, columns) {
  return makeHeatTable({
    name: "Attention from the token of the row to that of the column",
    className: "weights",
    rows: tokens,
    columns: columns.map((column) => tokens[column]),
    values: weights.map((row) => columns.map((column) => row[column])),
    shade: shadeOf,
    read(row, column) {
      const to = columns[column];
      return `${decimal(weights[row][to])}: ${tokens[row]} looks at ${tokens[to]}`;
    },
  });
}

/** Tokens twice, with lines from those that look to those looked at. */
function makeLines(tokens, weights, columns) {
  const explained = "Point at a token on the left, or move with the arrow keys, to see where it looks.";
  const readout = make("p", { className: "note readout" }, explained);
  const left = tokens.map((token) => button(token, undefined, { className: "token" }));
  const right = columns.map((column) => make("li", {}, tokens[column]));
  const fans = weights.map((row, from) => makeFan(row, from, columns));
  const start = make("ul", { "aria-label": "Tokens that look" }, ...left.map((token) => make("li", {}, token)));
  const box = { viewBox: `0 0 100 ${tokens.length}`, preserveAspectRatio: "none", "aria-hidden": "true" };
  const end = make("ul", { "aria-label": "Tokens looked at" }, ...right);
  const lines = make("div", { className: "lines" }, start, makeSvg("svg", box, ...fans), end);

  const point = (from) => {
    lines.classList.toggle("pointed", from >= 0);
    fans.forEach((fan, index) => fan.classList.toggle("on", index === from));
    right.forEach((item, index) => {
      item.style.setProperty("--shade", from < 0 ? 0 : shadeOf(weights[from][columns[index]]));
    });
    if (from >= 0) readout.textContent = tellMost(tokens, weights[from], columns, from);
  };
  left.forEach((token, from) => {
    for (const event of ["mouseenter", "focus"]) token.addEventListener(event, () => point(from));
  });
  start.addEventListener("mouseleave", () => point(left.indexOf(document.activeElement)));
  start.addEventListener("focusout", () => point(-1));
  rove(start, left.map((token) => [token]));
  return [lines, readout];
}

/** The lines of one token. */
function makeFan(row, from, columns) {
  const lines = columns.map((column, to) => {
    const opacity = decimal(shadeOf(row[column]));
    return makeSvg("line", { x1: 0, y1: from + 0.5, x2: 100, y2: to + 0.5, "stroke-opacity": opacity });
  });
  return makeSvg("g", {}, ...lines.filter((_, to) => row[columns[to]] >= SLIGHT));
}

function tellMost(tokens, row, columns, from) {
  const most = [...columns].sort((a, b) => row[b] - row[a]).slice(0, 3);
  const told = most.map((column) => `${tokens[column]} ${decimal(row[column])}`);
  return `${tokens[from]} looks most at ${told.join(", ")}`;
}

// A canvas keeps the colours it was drawn in.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const panel of panels) panel.result?.recolour?.();
});

// ------------------------------------------------------------------------------------------------------------ Start

const KINDS = [classify, score, entities, answering, choose, fill, similarity, rerank, search, attention];

start();
