"use strict";
// Starts the page, asks questions, and keeps the state in the address so that a link restores it.

// Take away all that was shown about an earlier question; `text` stands where the answer comes.
HA.clearAnswer = (text) => {
  for (const id of HA.running.values()) HA.cancel(id);
  HA.answer = HA.effects = HA.attention = HA.together = HA.mixed = null;
  HA.shown.attention = null;
  HA.shown.position = null;
  HA.unseen = "";
  HA.trouble("");
  HA.setProgress(null);
  HA.showSets(null);
  HA.$("together").disabled = true;
  HA.$("answer").replaceChildren(HA.el("p", { class: "weak" }, text));
  HA.$("compare").replaceChildren();
  HA.$("code").textContent = "";
  HA.paintGrid();
  HA.showHead();
  HA.paintMixer();
};

HA.ask = async (asked) => {
  HA.turn += 1;
  HA.asked = asked;
  HA.clearAnswer("The model is thinking …");
  const turn = HA.turn;
  const late = () => turn !== HA.turn;
  HA.remember();
  try {
    const answer = await HA.job("ask", {}, (news) => {
      if (!late()) HA.$("answer").firstChild.textContent = HA.waiting(news) || "The model is thinking …";
    });
    if (late() || !answer) return;
    HA.answer = answer;
    HA.showAnswer();
    HA.$("code").textContent = answer.snippet || "";
    let seen = null;
    try { seen = await HA.job("attention"); } catch (error) { HA.unseen = error.message; } // not every family's attention can be read
    if (late()) return;
    HA.attention = seen;
    HA.paintGrid();
    HA.showHead();
    if (HA.changes.length) await HA.mix(); // before the sweep, which can be long or fail
    if (late()) return;
    HA.setProgress(0, 1, "starting");
    const effects = answer.said ? await HA.job("effects", {}, (news) => HA.setProgress(news.done, news.total, news.state === "waiting" ? "waiting for the model, which is still at work" : "")) : null;
    if (late()) return;
    HA.effects = effects;
    HA.$("together").disabled = !effects;
    HA.setProgress(null);
    HA.paintGrid();
    if (answer.said && !effects && HA.color === "effect") HA.$("lead").textContent = "The removal of each head was stopped. Ask again to start it again.";
    if (effects && !HA.selected.length) HA.select(HA.firstHead());
    else HA.showHead();
    if (effects) HA.announce(`the effect of all ${effects.heads.length} heads is shown`);
    if (HA.frozen) HA.showSets(await HA.job("groups"));
  } catch (error) {
    if (late()) return;
    HA.setProgress(null);
    HA.trouble(error.message);
    if (!HA.answer) HA.$("answer").replaceChildren();
  } finally {
    if (!late()) document.documentElement.dataset.settled = String(turn);
  }
};

// Why a job has not begun, in words; empty once it has.
HA.waiting = (news) => {
  if (news.state !== "waiting") return "";
  return HA.running.has("effects") ? "Waiting until each head has been removed; Stop ends that …" : "Waiting for the model, which is still at work …";
};

// The head to show first: the one that matters most among those that look at the picture.
HA.firstHead = () => {
  const { heads, effect } = HA.effects;
  const looks = (name) => { const at = HA.attention ? HA.attention.heads.indexOf(name) : -1; return at >= 0 && HA.attention.mass[at] > 0.3; };
  const order = heads.map((name, i) => i).sort((a, b) => effect[b] - effect[a]);
  return heads[order.find((i) => looks(heads[i]) && effect[i] > 0) ?? order[0]];
};

HA.setProgress = (done, total, note) => {
  const box = HA.$("progress");
  box.hidden = done === null;
  HA.$("atlas").setAttribute("aria-busy", String(done !== null));
  if (done === null) return;
  HA.$("bar").value = total ? done / total : 0;
  HA.$("progress-text").textContent = note && !done ? note : `removing each head: ${done} of ${total || "…"}`;
};

HA.showAnswer = () => {
  const { said, alternatives, earlier, gold } = HA.answer;
  HA.$("answer").replaceChildren(...[
    HA.frozen ? HA.el("p", { class: "asked" }, HA.asked.question) : null,
    earlier.length ? HA.el("details", { class: "earlier" }, HA.el("summary", {}, `asked after ${earlier.length} earlier ${earlier.length === 1 ? "step" : "steps"}`), HA.el("ol", {}, ...earlier.map(([user, answer]) => HA.el("li", {}, `${user} `, HA.el("b", {}, answer))))) : null,
    HA.el("p", { class: "said" }, said || "The model says nothing."),
    gold ? HA.el("p", { class: "gold" }, gold === said ? "That is the right answer." : `The right answer is ${gold}.`) : null,
    HA.el("table", { class: "bars" }, HA.el("caption", { class: "sr" }, "Probability of each answer"), ...alternatives.map((one, i) => HA.el("tr", { class: i ? "" : "first" }, HA.el("th", { scope: "row" }, one.text),
      HA.el("td", { class: "track" }, HA.el("i", { style: { width: `${100 * one.p}%` } })), HA.el("td", { class: "num" }, HA.percent(one.p))))),
  ].filter(Boolean));
};

HA.newPicture = async (picture) => {
  HA.clearChanges();
  HA.turn += 1;
  await HA.loadPicture(picture);
  const first = HA.$("suggestions").querySelector("button");
  if (first) first.click();
};

// -- the address -------------------------------------------------------------------------------------------------------

HA.remember = () => {
  if (!HA.asked || HA.frozen) return;
  const state = { asked: HA.asked, changes: HA.changes, selected: HA.selected.length > 40 ? [] : HA.selected, color: HA.color };
  const text = btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(state))));
  history.replaceState(null, "", `#${text.replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "")}`);
};

HA.forget = () => history.replaceState(null, "", location.pathname);

HA.recall = () => {
  if (location.hash.length < 8 || HA.frozen) return null;
  try {
    const bytes = Uint8Array.from(atob(location.hash.slice(1).replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
    const state = JSON.parse(new TextDecoder().decode(bytes));
    return state && state.asked && state.asked.picture && Array.isArray(state.changes) ? state : null;
  } catch (error) { return null; }
};

HA.restore = async (state) => {
  HA.changes = state.changes;
  HA.past = [];
  HA.selected = (state.selected || []).filter((name) => HA.cells.has(name));
  if (state.color && (state.color !== "study" || HA.about.run)) HA.setColor(state.color);
  HA.paintSelection();
  HA.paintChanges();
  await HA.loadPicture(state.asked.picture, state.asked.question, state.asked.step);
  await HA.ask({ picture: state.asked.picture, question: state.asked.question, step: state.asked.step ?? null });
};

// -- start ---------------------------------------------------------------------------------------------------------------

HA.setColor = (color) => {
  HA.color = color;
  for (const button of HA.$("colors").querySelectorAll("button")) {
    const on = button.dataset.color === color;
    button.setAttribute("aria-checked", String(on));
    button.tabIndex = on ? 0 : -1;
  }
  HA.paintGrid();
  HA.remember();
};

HA.buildColors = () => {
  const kinds = [["effect", "Effect on this answer"], ["gaze", "Looks at the picture"], ...(HA.about.run ? [["study", "Score in the study"]] : [])];
  HA.$("colors").replaceChildren(...kinds.map(([color, text]) => HA.el("button", { type: "button", role: "radio", "data-color": color, "aria-checked": "false", on: { click: () => HA.setColor(color) } }, text)));
  HA.$("colors").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = [...HA.$("colors").querySelectorAll("button")];
    const next = all[(all.findIndex((one) => one.dataset.color === HA.color) + step + all.length) % all.length];
    HA.setColor(next.dataset.color);
    next.focus();
  });
  if (HA.about.run) {
    HA.$("study-score").append(...HA.scores().map((one) => HA.el("option", { value: one.name }, one.label)));
    HA.$("study-function").append(...HA.about.functions.map((one) => HA.el("option", { value: one.name }, one.title)));
    for (const id of ["study-score", "study-function"]) HA.$(id).addEventListener("change", HA.paintGrid);
  }
};

HA.listen = () => {
  const example = HA.$("example");
  example.append(HA.el("option", { value: "" }, "other"), ...Array.from({ length: HA.about.n_examples }, (_, i) => HA.el("option", { value: String(i) }, `picture ${i + 1} of ${HA.about.n_examples}`)));
  const open = (number) => { if (number >= 0 && number < HA.about.n_examples) HA.newPicture({ example: number }); };
  example.addEventListener("change", () => { if (example.value !== "") open(Number(example.value)); });
  HA.$("prev").addEventListener("click", () => open((HA.asked.picture.example ?? 1) - 1));
  HA.$("next").addEventListener("click", () => open((HA.asked.picture.example ?? -1) + 1));
  HA.$("random").addEventListener("click", () => HA.newPicture({ seed: Math.floor(Math.random() * 2 ** 30) }));
  HA.$("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const question = HA.$("question").value.trim();
    if (!question) return;
    const same = HA.asked && HA.asked.question === question;
    HA.ask({ picture: HA.asked.picture, question, step: same ? HA.asked.step : null });
  });
  HA.$("question").addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); HA.$("form").requestSubmit(); } });
  HA.$("stop").addEventListener("click", () => { const id = HA.running.get("effects"); if (id) HA.cancel(id); });
  const together = HA.$("together");
  together.addEventListener("click", async () => {
    together.disabled = true;
    try {
      const found = await HA.job("groups", {}, (news) => { together.textContent = news.total ? `Removing heads together: ${Math.round((100 * news.done) / news.total)} %` : "Removing heads together …"; });
      if (found) HA.showSets(found);
    } catch (error) { HA.trouble(error.message); } finally { together.disabled = false; together.textContent = "Find heads that hide each other"; }
  });
  HA.$("copy-link").addEventListener("click", () => HA.copy(location.href, "link copied"));
  HA.$("copy-code").addEventListener("click", () => HA.copy(HA.$("code").textContent, "code copied"));
  HA.$("show-code").addEventListener("click", () => {
    const box = HA.$("code-box");
    box.hidden = !box.hidden;
    HA.$("show-code").setAttribute("aria-expanded", String(!box.hidden));
  });
  window.addEventListener("hashchange", () => { const state = HA.recall(); if (state) HA.restore(state); });
};

HA.copy = async (text, told) => {
  try { await navigator.clipboard.writeText(text); HA.announce(told); } catch (error) { window.prompt("Copy:", text); }
};

HA.frozenList = () => {
  HA.$("more").open = true;
  HA.$("more").querySelector("summary").textContent = "Questions on this page";
  HA.$("suggestions").replaceChildren(...HA.frozen.cases.map((one) => HA.el("li", {}, HA.el("button", { type: "button", on: { click: () => HA.openFrozen(one) } },
    HA.el("img", { src: one.image, alt: "" }), HA.el("span", {}, one.asked.question, HA.el("small", {}, one.results.ask.said))))));
};

HA.openFrozen = async (one) => {
  HA.selected = [];
  await HA.loadPicture(one.asked.picture, one.asked.question, one.asked.step);
  for (const [i, button] of [...HA.$("suggestions").querySelectorAll("button")].entries()) button.setAttribute("aria-current", String(HA.frozen.cases[i] === one));
  await HA.ask(one.asked);
};

HA.start = async () => {
  try {
    HA.about = HA.frozen ? HA.frozen.about : await HA.fetch("api/about");
  } catch (error) { HA.trouble(error.message); return; }
  const { model, family, towers } = HA.about;
  document.title = `${model} – HeadAtlas explorer`;
  HA.$("model").textContent = model;
  const n = towers.reduce((sum, tower) => sum + tower.heads.reduce((a, b) => a + b, 0), 0);
  HA.$("facts").textContent = `${family}, ${n} attention heads in ${towers.reduce((sum, tower) => sum + tower.heads.length, 0)} layers`;
  HA.buildGrid();
  HA.buildColors();
  if (HA.frozen) {
    document.body.classList.add("frozen");
    HA.$("ask-title").textContent = "1. Choose a question";
  }
  else { HA.buildMixer(); HA.buildScene(); HA.dragBoxes(); HA.dropFiles(); HA.listen(); }
  HA.setColor("effect");
  HA.paintMixer();
  HA.dark.addEventListener("change", HA.paintGrid);
  document.documentElement.dataset.ready = "true";
  if (HA.frozen) { await HA.openFrozen(HA.frozen.cases[0]); return; }
  const state = HA.recall() || { asked: HA.about.start, changes: [], selected: [] };
  await HA.restore(state);
};

HA.start();
