// The review page. Knows the server's /api; shows data as text only, never as markup.
//
// A vote is put into the browser's own storage first and leaves it when the server says that it is on the disk: neither a server that
// stops nor a page that is closed loses one. It has an id of its own, so that sending it twice counts once.
"use strict";

const $ = id => document.getElementById(id);
const TYPES = ["yes_no", "choice", "number", "text"];
const WHOLE = -1;

let about, questions = [], shown = null, here = 0;
let person = { annotator: "", role: "annotator" };

// --- small tools -------------------------------------------------------------------------------------------------------------

function make(tag, fields = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(fields)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

async function get(path) {
  const reply = await fetch(path);
  if (!reply.ok) throw new Error((await reply.text()).slice(0, 300));
  return reply.json();
}

// With the steps that this page shows: a server of others, on the same port, must neither show them as these nor take their votes.
const asked = (more = person) => new URLSearchParams({ ...more, steps: about.fingerprint }).toString();

function fail(error) {
  $("fatal").hidden = false;
  $("fatal").textContent = `This page cannot continue: ${error.message}. Is the server running? Load the page again; your votes are kept.`;
}

// --- votes: kept here until the server has them ------------------------------------------------------------------------------

const outbox = {
  memory: new Map(), // where the browser allows no storage
  sending: false,
  refused: new Map(),
  prefix: () => `headatlas-vote:${about.fingerprint}:`,
  keys() {
    try {
      const found = Object.keys(localStorage).filter(key => key.startsWith(this.prefix()));
      return [...found, ...this.memory.keys()].sort();
    } catch { return [...this.memory.keys()].sort(); }
  },
  read(key) { return this.memory.get(key) ?? localStorage.getItem(key); },
  put(vote) {
    // Keys sort by time: votes are sent in the order in which they were cast.
    const key = `${this.prefix()}${String(Date.now()).padStart(15, "0")}:${String(outbox.count++).padStart(6, "0")}:${vote.id}`;
    try { localStorage.setItem(key, JSON.stringify(vote)); } catch { this.memory.set(key, JSON.stringify(vote)); }
    this.flush();
  },
  count: 0,
  drop(key) {
    this.memory.delete(key);
    try { localStorage.removeItem(key); } catch { /* it was not there */ }
  },
  async flush() {
    if (this.sending) return;
    this.sending = true;
    let wait = 300;
    for (let keys = this.keys(); keys.length; keys = this.keys()) {
      tell(keys.length);
      const key = keys[0], text = this.read(key);
      try {
        const reply = await fetch(`/api/vote?${asked({})}`, { method: "POST", headers: { "content-type": "application/json" }, body: text });
        if (reply.ok) this.drop(key);
        else if (reply.status < 500) { // it will never be taken: say so, and do not hold up the others
          this.drop(key);
          const vote = JSON.parse(text), said = await reply.json().catch(() => ({}));
          refused(vote, said.error || `HTTP ${reply.status}`);
        } else throw new Error(reply.status);
        wait = 300;
      } catch {
        tell(keys.length, true);
        await new Promise(done => setTimeout(done, wait));
        wait = Math.min(wait * 1.5, 3000);
      }
    }
    this.sending = false;
    tell(0);
  },
};

function tell(waiting, failing = false) {
  $("outbox").textContent = waiting === 0 ? "all saved" : failing ? `not saved yet: ${waiting} (the server does not answer)` : `saving ${waiting}`;
  $("outbox").classList.toggle("waiting", failing);
}

// A vote on a question that its annotator has left already: it is open again, what was typed is kept for the form.
function elsewhere(vote, why) {
  const index = questions.findIndex(q => q.id === vote.question);
  const place = `question ${index + 1}, ${vote.step === WHOLE ? "as a whole" : `step ${vote.step + 1}`}`;
  const note = make("p", { className: "problem", role: "alert" }, `Not saved: ${place}: ${why} `);
  if (vote.change) sessionStorage.setItem(`headatlas-draft:${about.fingerprint}:${vote.question}:${vote.step}`, JSON.stringify(vote.change));
  if (index >= 0) {
    questions[index].done = Math.max(0, questions[index].done - 1);
    note.append(make("button", { type: "button", onclick: () => { note.remove(); open(index); } }, "go there"));
  }
  $("work").prepend(note);
  if (shown) progress();
}

function refused(vote, why) {
  if (!shown || shown.id !== vote.question) return elsewhere(vote, why);
  if (vote.step === WHOLE) {
    $("whole-status").textContent = `Not saved: ${why}`;
    return $("whole-status").classList.add("problem");
  }
  // What was typed stays, to be mended; the step is undecided again.
  state(vote.step).verdict = "";
  drawStep(vote.step);
  select(vote.step);
  progress();
  problem(vote.step, `Not saved: ${why}`);
}

// crypto.randomUUID is there on 127.0.0.1 and localhost, which browsers trust as they trust https.
function cast(step, fields) {
  outbox.put({ id: crypto.randomUUID(), question: shown.id, step, ...person, verdict: "", functions: [], change: null, note: "", ...fields });
}

// --- a question --------------------------------------------------------------------------------------------------------------

function state(step) { return shown.state[step]; }

async function open(index) {
  index = Math.max(0, Math.min(questions.length - 1, index));
  try { shown = await get(`/api/question/${index}?${asked()}`); } catch (error) { return fail(error); }
  // What this page has cast and not sent yet comes after what the server has.
  const waiting = outbox.keys().map(key => JSON.parse(outbox.read(key)))
    .filter(vote => vote.question === shown.id && vote.annotator === person.annotator && vote.role === person.role);
  const mine = new Map([...shown.mine, ...waiting].map(vote => [vote.step, vote]));
  shown.whole = mine.get(WHOLE)?.verdict === "reject";
  shown.ruled = mine.has(WHOLE); // whether this person has said anything of the whole
  shown.state = shown.steps.map((step, i) => {
    const vote = mine.get(i);
    return { verdict: vote?.verdict || "", change: vote?.change || null, note: vote?.note || "",
             functions: [...(vote && (vote.functions.length || vote.verdict) ? vote.functions : step.functions)] };
  });
  const waits = i => !shown.state[i].verdict && (person.role !== "adjudicator" || shown.states[i].state === "undecided");
  here = Math.max(0, shown.steps.findIndex((_, i) => waits(i)));
  history.replaceState(null, "", `#${index + 1}`);
  draw();
}

function draw() {
  $("meta").textContent = [shown.id, shown.source, `split ${shown.split}`].join(" · ");
  $("text").textContent = shown.text;
  $("answer").textContent = shown.answer;
  $("options").textContent = shown.options.length ? `Options: ${shown.options.join(", ")}` : "";
  $("goto").value = shown.index + 1;
  $("images").replaceChildren(...shown.images.map((address, k) => {
    const image = make("img", { src: address, alt: `Image ${k + 1} of the question` });
    image.addEventListener("error", async () => {
      const why = await fetch(address).then(reply => reply.json()).then(said => said.error, () => "the server does not answer");
      image.replaceWith(make("p", { className: "problem" }, `No image: ${why}`));
    });
    return image;
  }));
  $("steps").replaceChildren(...shown.steps.map((_, i) => make("li")));
  shown.steps.forEach((_, i) => drawStep(i));
  drawWhole();
  select(here, false);
}

function drawWhole() {
  $("whole").setAttribute("aria-pressed", String(shown.whole));
  $("whole-status").classList.remove("problem");
  const against = shown.others.filter(vote => vote.step === WHOLE).map(vote => vote.annotator);
  $("whole-status").textContent = against.length ? `rejected as a whole by ${against.join(", ")}: X confirms it, X again overrules it` : "";
  progress();
}

function drawStep(i) {
  const step = shown.steps[i], mine = state(i), node = $("steps").children[i];
  const now = mine.change || step;
  node.dataset.verdict = mine.verdict;
  const verdicts = [["accept", "accept (A)"], ["fix", "fix (F)"], ["reject", "reject (R)"]].map(([name, label]) =>
    make("button", { type: "button", "aria-pressed": String(mine.verdict === name), "data-do": name,
                     onclick: () => { select(i); decide(name); } }, label));
  const chips = about.functions.map((f, k) => {
    const on = mine.functions.includes(f.name);
    const chip = make("button", { type: "button", className: `chip${mine.functions[0] === f.name ? " primary" : ""}`,
                                  title: f.meaning, "aria-pressed": String(on), "data-function": f.name,
                                  onclick: event => { select(i); mark(k, event.shiftKey); } }, `${k + 1} ${f.title}`);
    chip.style.setProperty("--color", f.color);
    return chip;
  });
  const others = shown.others.filter(vote => vote.step === i).map(vote => make("p", { className: "others" },
    `${vote.annotator}: ${vote.verdict}${vote.change ? ` → ${vote.change.text} = ${vote.change.answer}` : ""}` +
    `${vote.functions.length ? ` (${vote.functions.map(title).join(", ")})` : ""}${vote.note ? ` “${vote.note}”` : ""}`));
  const decided = shown.states[i] ? make("p", { className: "others" }, `${shown.states[i].state}: ${shown.states[i].why}`) : null;
  node.replaceChildren(...[
    make("p", { className: "said" }, make("span", { className: "number" }, `${i + 1}. `), `${now.text} `, make("b", {}, now.answer)),
    mine.change ? make("p", { className: "was" }, `was: ${step.text} ${step.answer}`) : null,
    now.options.length ? make("p", { className: "was" }, `options: ${now.options.join(", ")}`) : null,
    make("div", { className: "row" }, ...verdicts), make("div", { className: "row" }, ...chips),
    ...others, decided, make("p", { className: "status", role: "status" }),
  ].filter(Boolean));
  node.onclick = event => { if (!event.target.closest("button, .fix")) select(i); };
}

const title = name => about.functions.find(f => f.name === name)?.title ?? name;

function select(i, scroll = true) {
  here = i;
  [...$("steps").children].forEach((node, k) => k === i ? node.setAttribute("aria-current", "step") : node.removeAttribute("aria-current"));
  if (scroll) $("steps").children[i]?.scrollIntoView({ block: "nearest" });
}

function progress() {
  const row = questions[shown.index];
  row.done = shown.whole ? row.steps : shown.state.filter(s => s.verdict).length;
  const against = shown.others.some(vote => vote.step === WHOLE);
  if (row.state === "undecided" && (shown.ruled || !against)
      && shown.states.every((s, i) => s.state !== "undecided" || shown.state[i].verdict || shown.whole)) row.state = "decided";
  const finished = questions.filter(q => q.done >= q.steps).length;
  const open = person.role === "adjudicator" ? `, ${questions.filter(q => q.state === "undecided").length} undecided` : "";
  $("progress").textContent = `${finished} of ${questions.length} questions finished${open}`;
}

// --- deciding ----------------------------------------------------------------------------------------------------------------

function save(i, fields) {
  Object.assign(state(i), fields);
  const { verdict, functions, change, note } = state(i);
  cast(i, { verdict, functions, change: verdict === "fix" ? change : null, note });
  drawStep(i);
  select(i, false);
  progress();
}

function problem(i, text) {
  const mark = $("steps").children[i].querySelector(".status");
  mark.textContent = text;
  mark.classList.add("problem");
}

function decide(name) {
  const i = here;
  if (name === "fix") return edit(i);
  if (name === "accept" && !state(i).functions.length) return problem(i, "Mark at least one function first (1 – 8).");
  save(i, { verdict: name, change: null });
  if (i + 1 < shown.steps.length) select(i + 1);
}

function mark(k, first) {
  const i = here, name = about.functions[k]?.name;
  if (!name) return;
  const had = state(i).functions;
  const rest = had.filter(other => other !== name);
  const functions = first ? [name, ...rest] : had.includes(name) ? rest : [...had, name];
  if (!functions.length && ["accept", "fix"].includes(state(i).verdict)) return problem(i, "A step that stays needs at least one function.");
  save(i, { functions });
}

function reject() {
  shown.whole = !shown.whole;
  shown.ruled = true;
  cast(WHOLE, { verdict: shown.whole ? "reject" : "" });
  drawWhole();
}

function edit(i) {
  const step = shown.steps[i], now = state(i).change || step, last = i === shown.steps.length - 1;
  const draft = `headatlas-draft:${about.fingerprint}:${shown.id}:${i}`;
  const kept = JSON.parse(sessionStorage.getItem(draft) || "null") || now;
  const text = make("textarea", { rows: 2, value: kept.text, maxLength: 500 });
  const answer = make("input", { value: kept.answer, maxLength: 500, disabled: last });
  const type = make("select", { disabled: last }, ...TYPES.map(name => make("option", { value: name }, name)));
  type.value = kept.answer_type;
  const options = make("textarea", { rows: 3, value: kept.options.join("\n"), disabled: last });
  const read = () => ({ text: text.value.trim(), answer: answer.value.trim(), answer_type: type.value,
                        options: options.value.split("\n").map(line => line.trim()).filter(Boolean) });
  const leave = () => { sessionStorage.removeItem(draft); drawStep(i); select(i); };
  const done = () => {
    const change = read();
    if (!change.text || !change.answer) return problem(i, "Expected a wording and an answer.");
    if (!state(i).functions.length) return problem(i, "Mark at least one function first.");
    sessionStorage.removeItem(draft);
    save(i, { verdict: "fix", change });
    if (i + 1 < shown.steps.length) select(i + 1);
  };
  const form = make("div", { className: "fix" },
    make("label", {}, "Wording", text), make("label", {}, last ? "Answer (the main question’s; it cannot change here)" : "Answer", answer),
    make("label", {}, "Type of the answer", type), make("label", {}, "Options, one per line", options),
    make("div", { className: "row" }, make("button", { type: "button", onclick: done, "data-do": "save" }, "save (Ctrl+Enter)"),
      make("button", { type: "button", onclick: leave }, "leave (Esc)")));
  form.addEventListener("input", () => sessionStorage.setItem(draft, JSON.stringify(read())));
  form.addEventListener("keydown", event => {
    if (event.key === "Escape") leave();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) done();
    else return;
    event.preventDefault();
  });
  drawStep(i);
  $("steps").children[i].append(form);
  text.focus();
}

// --- moving and keys ---------------------------------------------------------------------------------------------------------

function step(by) { select(Math.max(0, Math.min(shown.steps.length - 1, here + by))); }

function unfinished() {
  const wanted = person.role === "adjudicator" ? q => q.state === "undecided" && q.done < q.steps : q => q.done < q.steps;
  for (let k = 1; k <= questions.length; k++) {
    const index = (shown.index + k) % questions.length;
    if (wanted(questions[index])) return open(index);
  }
  $("progress").textContent = "Nothing is left to do here.";
}

function help() {
  $("help").hidden = !$("help").hidden;
  $("help-button").setAttribute("aria-expanded", String(!$("help").hidden));
}

async function agreement() {
  if (person.role !== "adjudicator") return;
  const panel = $("agreement"), number = (value, digits) => value === null ? "–" : value.toFixed(digits);
  panel.hidden = !panel.hidden;
  $("agreement-button").setAttribute("aria-expanded", String(!panel.hidden));
  if (panel.hidden) return;
  const found = await get("/api/agreement");
  const row = (tag, cells) => make("tr", {}, ...cells.map(cell => make(tag, {}, String(cell))));
  panel.replaceChildren(
    make("p", {}, `${found.annotators.length} people have voted: ${found.annotators.join(", ")}`),
    make("table", {},
      row("th", ["", "steps", "votes", "pairs agree", `${Math.round(about.share * 100)} % agree`, "Fleiss’ kappa", "Krippendorff’s alpha"]),
      ...found.rows.map(r => row("td", [title(r.what), r.steps, r.votes, number(r.agreement, 2), number(r.settled, 2), number(r.fleiss, 3),
                                        number(r.alpha, 3)]))));
}

const KEYS = {
  a: () => decide("accept"), f: () => decide("fix"), r: () => decide("reject"), x: reject, u: unfinished, "?": help, g: agreement,
  j: () => step(1), arrowdown: () => step(1), k: () => step(-1), arrowup: () => step(-1),
  n: () => open(shown.index + 1), arrowright: () => open(shown.index + 1), p: () => open(shown.index - 1), arrowleft: () => open(shown.index - 1),
};

document.addEventListener("keydown", event => {
  if (!shown || $("work").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, textarea, select")) return;
  const digit = /^(?:Digit|Numpad)([1-8])$/.exec(event.code), first = event.shiftKey;
  const action = digit ? () => mark(Number(digit[1]) - 1, first) : KEYS[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  // One after the other: a key that is pressed while the next question is on its way is meant for that question.
  keys = keys.then(action).catch(fail);
});

let keys = Promise.resolve();

// --- beginning ---------------------------------------------------------------------------------------------------------------

async function begin() {
  $("enter").hidden = true;
  $("name").textContent = person.annotator + (person.role === "adjudicator" ? " (adjudicator)" : "");
  try { questions = await get(`/api/questions?${asked()}`); } catch (error) { return fail(error); }
  $("agreement-button").hidden = person.role !== "adjudicator";
  $("count").textContent = questions.length;
  $("work").hidden = false;
  const named = Number(location.hash.slice(1));
  const wanted = questions.findIndex(q => person.role === "adjudicator" ? q.state === "undecided" : q.done < q.steps);
  await open(named >= 1 && named <= questions.length ? named - 1 : Math.max(0, wanted));
  outbox.flush();
  document.documentElement.dataset.ready = "true";
}

$("enter").addEventListener("submit", event => {
  event.preventDefault();
  person = { annotator: $("annotator").value.trim(), role: $("adjudicator").checked ? "adjudicator" : "annotator" };
  if (!person.annotator) return;
  sessionStorage.setItem("headatlas-person", JSON.stringify(person));
  begin();
});
$("leave").addEventListener("click", () => { sessionStorage.removeItem("headatlas-person"); history.replaceState(null, "", "/"); location.reload(); });
$("help-button").addEventListener("click", help);
$("agreement-button").addEventListener("click", () => agreement().catch(fail));
$("whole").addEventListener("click", reject);
$("previous").addEventListener("click", () => open(shown.index - 1));
$("next").addEventListener("click", () => open(shown.index + 1));
$("unfinished").addEventListener("click", unfinished);
$("goto").addEventListener("change", () => { open(Number($("goto").value) - 1 || 0); $("goto").blur(); });

get("/api/about").then(found => {
  about = found;
  $("dataset").textContent = about.dataset;
  document.title = `Review: ${about.dataset}`;
  tell(outbox.keys().length);
  const kept = JSON.parse(sessionStorage.getItem("headatlas-person") || "null");
  if (kept) { person = kept; begin(); } else { $("enter").hidden = false; $("annotator").focus(); }
}).catch(fail);
