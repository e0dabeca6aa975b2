"use strict";
// The panel of one head: what it looks at, what happens without it, what it writes, where else it matters.

HA.shown = { name: null, position: null, attention: null };

HA.decode = (found) => {
  if (!found || found.wordBytes) return found;
  found.wordBytes = HA.bytes(found.words);
  if (found.map) found.map.bytes = HA.bytes(found.map.values);
  return found;
};

HA.showHead = () => {
  const name = HA.asked && HA.asked.question ? HA.selected[HA.selected.length - 1] : undefined;
  HA.$("head-empty").hidden = Boolean(name);
  HA.$("head-body").hidden = !name;
  HA.$("head-title").textContent = name ? `3. Head ${name}` : "3. One head";
  if (!name) { HA.shown.name = null; return; }
  const fresh = HA.shown.name !== name;
  HA.shown.name = name;
  const body = HA.$("head-body");
  body.replaceChildren(
    HA.sentence(name), HA.el("div", { id: "gaze" }),
    HA.el("div", { id: "writes" }), HA.el("div", { id: "study-facts" }), HA.el("div", { id: "neighbours" }), HA.el("div", { id: "examples" }));
  HA.showGaze();
  HA.showStudy(name);
  HA.showNeighbours(name);
  HA.showExamples(name, fresh);
  HA.showWrites(name);
};

// What the head does to this answer, in words.
HA.sentence = (name) => {
  const at = HA.effects ? HA.effects.heads.indexOf(name) : -1;
  const seen = HA.attention ? HA.attention.heads.indexOf(name) : -1;
  const p = HA.el("p", { class: "sentence" });
  if (at >= 0) {
    const { effect, changed, says, p: after, answer } = HA.effects;
    const before = HA.answer.alternatives[0].p;
    const size = Math.abs(effect[at]) < 0.05 ? "hardly changes" : effect[at] > 0 ? "lowers" : "raises";
    const amount = size === "hardly changes" ? null : HA.el("span", {}, " by ", HA.el("b", {}, `${HA.plain(Math.abs(effect[at]))} nats`));
    p.append("Without it the model ", changed[at] ? HA.el("span", {}, "says ", HA.el("b", { class: "other" }, says[at] || "nothing")) : `still says ${answer}`,
      `. Removing it ${size} the odds of “${answer}”`, amount || "", ` (${HA.percent(before)} → ${HA.percent(after[at])}).`);
  }
  if (seen >= 0) p.append(` ${HA.percent(HA.attention.mass[seen])} of its attention is on the picture.`);
  return p;
};

HA.showGaze = () => {
  const box = HA.$("gaze");
  if (!box || !HA.shown.name) return;
  const found = HA.decode(HA.shown.attention || HA.attention);
  const at = found ? found.heads.indexOf(HA.shown.name) : -1;
  if (at < 0) { box.replaceChildren(found ? HA.el("p", { class: "weak" }, "Attention of this head cannot be shown.") : HA.el("p", { class: "weak" }, HA.unseen || "")); return; }
  const parts = [HA.el("h3", {}, HA.shown.attention && HA.changes.length ? "What it looks at, with the changes" : "What it looks at")];
  if (found.map && HA.$("picture").naturalWidth) {
    const canvas = HA.el("canvas", { class: "map", role: "img", "aria-label": `Map of where ${HA.shown.name} looks on the picture` });
    HA.drawMap(canvas, HA.$("picture"), found.map, at);
    parts.push(canvas);
    if (found.mass[at] < 0.05) parts.push(HA.el("p", { class: "weak" }, `Only ${HA.percent(found.mass[at])} of its attention is on the picture: the map shows where that little goes.`));
  } else if (found.why) parts.push(HA.el("p", { class: "weak" }, found.why));
  const n = found.tokens.length;
  const words = HA.el("div", { class: "words", role: "group", "aria-label": "Words that it looks at; select one to look from there" });
  const query = found.query;
  for (let i = 0; i < n; i += 1) {
    if (found.positions[i] > found.image_at && !words.dataset.pictured && found.image_at >= 0) {
      words.dataset.pictured = "yes";
      words.append(HA.el("span", { class: "image-token" }, "picture"));
    }
    const weight = (found.wordBytes[at * n + i] / 255) * found.peak[at];
    const text = found.tokens[i].replace(/\n/g, "⏎");
    const token = HA.el("button", { type: "button", class: "token", title: HA.percent(weight), "aria-pressed": String(found.positions[i] === query),
      "aria-label": `${text.trim() || "blank"}, ${HA.percent(weight)} of its attention`, style: { background: `rgba(255,176,32,${Math.min(1, weight * 1.4)})` } }, text);
    if (weight > 0.6) token.classList.add("strong");
    if (!HA.frozen) token.addEventListener("click", () => HA.lookFrom(found.positions[i]));
    words.append(token);
  }
  parts.push(words, HA.el("p", { class: "weak" }, HA.frozen ? "Shaded: the words that it looks at when the answer begins." : "Shaded: the words that it looks at. The outlined word is the one that looks; select another to look from there."));
  box.replaceChildren(...parts);
};

HA.lookFrom = async (position) => {
  try {
    const found = await HA.job("attention", { position, changes: HA.changes });
    if (!found) return;
    HA.shown.attention = found;
    HA.shown.position = position;
    HA.showGaze();
    const token = [...HA.$("gaze").querySelectorAll(".token")][found.positions.indexOf(position)];
    if (token) token.focus();
  } catch (error) { HA.trouble(error.message); }
};

HA.chips = (pairs) => HA.el("span", { class: "chips" }, ...pairs.map(([word, value]) => HA.el("span", { class: "chip" }, HA.el("b", {}, word.trim() || "␣"), ` ${HA.signed(value)}`)));

HA.showWrites = async (name) => {
  try {
    const found = await HA.job("writes", { head: name });
    if (!found || HA.shown.name !== name || !HA.$("writes")) return;
    HA.$("writes").replaceChildren(HA.el("h3", {}, "What it writes"),
      HA.el("p", {}, HA.el("span", { class: "weak" }, "raises "), HA.chips(found.raised.slice(0, 5))),
      HA.el("p", {}, HA.el("span", { class: "weak" }, "lowers "), HA.chips(found.lowered.slice(0, 5))),
      HA.el("p", { class: "weak" }, "How far it pushes these words up or down where the answer begins, in logits: +1 makes a word 2.7 times as likely beside the others. Likely words only."));
  } catch (error) {
    if (HA.shown.name === name && HA.$("writes")) HA.$("writes").replaceChildren(HA.el("p", { class: "weak" }, error.message));
  }
};

HA.showStudy = (name) => {
  const box = HA.$("study-facts"), run = HA.about.run;
  const match = /^L(\d+)\.H(\d+)$/.exec(name);
  if (!run || !match) return;
  const exact = run.scorers.find((one) => one.name === "ablation") || run.scorers[0];
  const rows = HA.about.functions.map((one) => [one, (exact.values[one.name][Number(match[1])] || [])[Number(match[2])]]).filter(([, value]) => value !== undefined);
  const largest = Math.max(1e-9, ...rows.map(([, value]) => Math.abs(value)));
  box.replaceChildren(HA.el("h3", {}, `In the study: ${exact.label}, by function`),
    HA.el("table", { class: "bars" }, ...rows.map(([one, value]) => HA.el("tr", {}, HA.el("th", { scope: "row" }, one.title),
      HA.el("td", { class: "track" }, HA.el("i", { class: value < 0 ? "below" : "", style: { width: `${(100 * Math.abs(value)) / largest}%` } })), HA.el("td", { class: "num" }, HA.signed(value, 3))))),
    HA.el("p", { class: "weak" }, `${exact.unit ? `Unit: ${exact.unit}. ` : ""}Over the questions of split S of ${run.where}.`));
};

HA.showNeighbours = (name) => {
  const box = HA.$("neighbours");
  const groups = HA.about.run ? HA.about.run.groups.filter((one) => one.heads.includes(name)) : [];
  const pairs = HA.together ? HA.together.pairs.filter((one) => (one.head_a === name || one.head_b === name) && one.interaction > 0.1) : [];
  if (!groups.length && !pairs.length) return;
  const link = (other) => HA.el("button", { type: "button", class: "chip", on: { click: () => HA.select(other) } }, other);
  const items = groups.map((one) => HA.el("p", {}, `${one.title}: `, ...one.heads.filter((other) => other !== name).map(link), HA.el("span", { class: "weak" }, ` together ${HA.signed(one.joint)} nats`)));
  if (pairs.length) items.push(HA.el("p", {}, "On this answer: ", ...pairs.map((one) => link(one.head_a === name ? one.head_b : one.head_a))));
  box.replaceChildren(HA.el("h3", {}, "Heads that do the same work"), ...items);
};

HA.showExamples = (name) => {
  const box = HA.$("examples");
  if (HA.frozen) return;
  const button = HA.el("button", { type: "button" }, "Where else does it matter?");
  box.replaceChildren(button);
  button.addEventListener("click", async () => {
    button.disabled = true;
    button.textContent = "Removing it on the data’s questions …";
    try {
      const found = await HA.job("examples", { head: name }, (news) => { if (news.total) button.textContent = `Removing it on the data’s questions: ${news.done} of ${news.total}`; });
      if (HA.shown.name !== name) return;
      if (!found) { HA.showExamples(name); return; }
      const titles = Object.fromEntries(HA.about.functions.map((one) => [one.name, one.title]));
      box.replaceChildren(HA.el("h3", {}, "Where else it matters"),
        HA.el("p", {}, `On ${found.n} steps of ${found.questions} questions, removing it breaks ${found.broken} right answers and corrects ${found.mended}.`),
        HA.el("ul", { class: "examples" }, ...found.examples.map((one) => HA.el("li", {}, HA.el("button", { type: "button", on: { click: () => HA.openExample(one) } },
          HA.el("img", { src: HA.pictureUrl({ example: one.example }, true), alt: "", loading: "lazy" }),
          HA.el("span", {}, one.shown, HA.el("small", {}, `${titles[one.function] || one.function}: ${one.before} → `, HA.el("b", { class: one.before === one.after ? "" : "other" }, one.after), `, ${HA.signed(-one.fall)} nats`)))))),
        found.examples.length ? HA.el("p", { class: "weak" }, "Largest falls of the right answer’s log-probability. Select one to open it.") : HA.el("p", { class: "weak" }, "No right answer loses more than 0.005 nats."));
    } catch (error) { box.replaceChildren(HA.el("p", { class: "weak" }, error.message)); }
  });
};

HA.openExample = async (one) => {
  HA.clearChanges();
  HA.turn += 1;
  const picture = { example: one.example };
  await HA.loadPicture(picture, one.text, one.step);
  HA.ask({ picture, question: one.text, step: one.step });
};

HA.showSets = (found) => {
  HA.together = found;
  const box = HA.$("sets");
  if (!found) { box.replaceChildren(); return; }
  const link = (name) => HA.el("button", { type: "button", class: "chip", on: { click: () => HA.select(name) } }, name);
  const sets = found.sets.map((one) => HA.el("p", {}, ...one.heads.split(" ").map(link), one.heads.includes(" ") ? " together cost the answer " : " alone costs the answer ", HA.el("b", {}, `${HA.plain(one.effect)} nats`),
    one.heads.includes(" ") ? ` (each alone, in sum ${HA.plain(one.alone)})` : "", one.kept ? "; the model still says it. " : "; the model says something else. ",
    HA.el("button", { type: "button", class: "chip", on: { click: () => HA.selectAll(one.heads.split(" ")) } }, "select"),
    one.n_random ? HA.el("span", { class: "weak" }, ` ${one.n_random} random sets of this size: ${HA.plain(one.random)} on average, ${one.as_large || "none"} as large.`) : ""));
  if (found.hidden.length) sets.push(HA.el("p", {}, "Little alone, much together: ", ...found.hidden.map(link)));
  box.replaceChildren(HA.el("h3", {}, "Heads removed together"), ...(sets.length ? sets : [HA.el("p", { class: "weak" }, "No set of heads was found that costs the answer 0.05 nats.")]),
    HA.el("p", { class: "weak" }, "Chosen on this answer: it describes the answer and is not a test."));
  HA.showHead();
};
