"use strict";
// The grid of all heads: one button a head, coloured by what is chosen, moved through with the arrow keys.

HA.cells = new Map(); // name -> button
HA.rows = []; // names by row

HA.buildGrid = () => {
  const grid = HA.$("grid");
  grid.replaceChildren();
  const widest = Math.max(...HA.about.towers.flatMap((tower) => tower.heads));
  grid.style.setProperty("--columns", widest);
  grid.classList.toggle("dense", widest > 16);
  const top = HA.el("div", { role: "row", class: "row numbers" }, HA.el("span", { role: "columnheader", class: "layer" }, HA.el("span", { class: "sr" }, "layer")));
  for (let i = 0; i < widest; i += 1) top.append(HA.el("span", { role: "columnheader" }, widest > 16 && i % 4 ? "" : String(i)));
  grid.append(top);
  let first = true;
  for (const { tower, heads } of HA.about.towers) {
    heads.forEach((n, layer) => {
      const names = [];
      const row = HA.el("div", { role: "row", class: "row" }, HA.el("span", { role: "rowheader", class: "layer" }, `${tower}${layer}`));
      for (let i = 0; i < n; i += 1) {
        const name = `${tower}${layer}.H${i}`;
        const cell = HA.el("button", { type: "button", role: "gridcell", tabindex: first ? "0" : "-1", "aria-label": name, "aria-selected": "false", "data-head": name });
        first = false;
        names.push(name);
        HA.cells.set(name, cell);
        row.append(cell);
      }
      HA.rows.push(names);
      grid.append(row);
    });
  }
  grid.addEventListener("click", (event) => {
    const name = event.target.dataset && event.target.dataset.head;
    if (name) HA.select(name, event.shiftKey || event.ctrlKey || event.metaKey);
  });
  grid.addEventListener("keydown", HA.gridKey);
};

HA.gridKey = (event) => {
  const name = event.target.dataset && event.target.dataset.head;
  if (!name) return;
  if (event.key === " ") { event.preventDefault(); HA.select(name, true); return; }
  const y = HA.rows.findIndex((row) => row.includes(name)), x = HA.rows[y].indexOf(name);
  const last = HA.rows.length - 1;
  const to = { ArrowLeft: [y, x - 1], ArrowRight: [y, x + 1], ArrowUp: [y - 1, x], ArrowDown: [y + 1, x], Home: [y, 0], End: [y, HA.rows[y].length - 1], PageUp: [0, x], PageDown: [last, x] }[event.key];
  if (!to) return;
  event.preventDefault();
  const row = HA.rows[Math.max(0, Math.min(last, to[0]))];
  HA.focusHead(row[Math.max(0, Math.min(row.length - 1, to[1]))]);
};

HA.focusHead = (name) => {
  const before = HA.$("grid").querySelector('[tabindex="0"]');
  if (before) before.tabIndex = -1;
  const cell = HA.cells.get(name);
  cell.tabIndex = 0;
  cell.focus();
};

// What the grid shows now: { values: Map, signed, unit, lead, low, high, marks: Set }, or null while it is not there.
HA.view = () => {
  if (HA.color === "effect") {
    if (!HA.effects) return null;
    const values = new Map(HA.effects.heads.map((name, i) => [name, HA.effects.effect[i]]));
    const marks = new Set(HA.effects.heads.filter((name, i) => HA.effects.changed[i]));
    return { values, marks, signed: true, unit: "nats", low: "the answer gains without it", high: "the answer needs it",
      lead: `Each square is one attention head. It was removed alone: blue heads carry the answer “${HA.effects.answer}”, whose odds fall without them (by 1 nat: to 37 % of what they were). A dot marks heads without which the model says something else.` };
  }
  if (HA.color === "gaze") {
    if (!HA.attention) return null;
    const values = new Map(HA.attention.heads.map((name, i) => [name, HA.attention.mass[i]]));
    return { values, marks: new Set(), signed: false, unit: "share", largest: 1, low: "looks at the words", high: "looks at the picture",
      lead: "Each square is one attention head: the bluer, the more of its attention is on the picture when the model begins to answer." };
  }
  const scorer = HA.scores().find((one) => one.name === HA.$("study-score").value);
  const name = HA.$("study-function").value;
  const title = HA.about.functions.find((one) => one.name === name).title;
  const values = new Map();
  if (!scorer.values[name]) return { values, marks: new Set(), signed: true, unit: scorer.unit, low: "", high: "", lead: `${scorer.label}: no step of ${HA.lower(title)} was measured.` };
  scorer.values[name].forEach((row, layer) => row.forEach((value, i) => values.set(`L${layer}.H${i}`, value)));
  const chosen = (HA.about.run.selected[scorer.name] || {})[name] || [];
  const all = [...values.values()];
  const signed = all.some((value) => value < 0);
  if (scorer.note) return { values, marks: new Set(), signed, unit: scorer.unit, low: "the right answer gains without it", high: "the right answer needs it",
    lead: `Each head was removed alone on ${scorer.steps[name]} steps of ${HA.lower(title)}: blue heads are those without which the right answer becomes less likely (1 nat: 37 % as likely). ${scorer.note}` };
  return { values, marks: new Set(chosen), signed, unit: scorer.unit, low: signed ? "below zero" : "nothing", high: "high score",
    lead: `Score of every head for ${HA.lower(title)} over the study’s questions of split S (${scorer.label}). ${chosen.length ? `A dot marks ${chosen.length === 1 ? "the head" : `the ${chosen.length} heads`} that the study selected.` : "The study selected none of them."}` };
};

// The scores of the run: those of its scorers, and the sweep of single heads.
HA.scores = () => (HA.about.run ? [...HA.about.run.scorers, ...(HA.about.run.sweeps.heads ? [HA.about.run.sweeps.heads] : [])] : []);

HA.lower = (title) => `${title[0].toLowerCase()}${title.slice(1)}`;

// The pairs and the minimal set that sweeps of the run found for the chosen function.
HA.showSweeps = () => {
  const box = HA.$("sweeps"), run = HA.about.run;
  box.hidden = HA.color !== "study" || !run;
  if (box.hidden) return;
  const name = HA.$("study-function").value;
  const pick = (heads, text) => HA.el("button", { type: "button", class: "chip", "data-heads": heads.join(" "), on: { click: () => HA.selectAll(heads) } }, HA.el("b", {}, heads.join(" ")), ` ${text}`);
  const span = (one, factor, digits) => (one.low === null || one.high === null ? "" : `, 95 % interval ${HA.plain(factor * one.low, digits)} to ${HA.plain(factor * one.high, digits)}`);
  const parts = [];
  for (const one of run.sweeps.sets.filter((set) => set.function === name)) {
    parts.push(HA.el("h3", {}, "Minimal set (greedy sweep)"), HA.el("p", {}, pick(one.heads, `without ${one.heads.length > 1 ? "them" : "it"} ${HA.plain(100 * one.drop, 1)} points lost`)),
      HA.el("p", { class: "weak" }, `${one.note}${span(one, 100, 1) ? ` Points of accuracy lost${span(one, 100, 1)}` : ""}${one.random === null ? "" : `; as many random heads: ${HA.plain(100 * one.random, 1)} points`}.`));
  }
  for (const one of run.sweeps.pairs.filter((group) => group.function === name)) {
    parts.push(HA.el("h3", {}, "Pairs (sweep): nats lost without both, beyond the sum of each alone"),
      HA.el("ol", { class: "pairs" }, ...one.pairs.map((pair) => HA.el("li", {}, pick([pair.head_a, pair.head_b], HA.signed(pair.interaction)), HA.el("span", { class: "weak" }, `${span(pair, 1, 2)}; together ${HA.signed(-pair.drop_both)} nats`)))),
      HA.el("p", { class: "weak" }, `Above 0: the two stand in for each other. ${one.note}`));
  }
  box.replaceChildren(...parts, ...run.sweeps.left_out.map((text) => HA.el("p", { class: "weak" }, text)));
};

HA.paintGrid = () => {
  const view = HA.view();
  const legend = HA.$("legend");
  HA.$("study-pick").hidden = HA.color !== "study";
  HA.showSweeps();
  if (!view) {
    for (const cell of HA.cells.values()) { cell.style.background = ""; cell.classList.remove("mark"); }
    legend.replaceChildren();
    HA.$("ranking").replaceChildren();
    HA.$("lead").textContent = `Each square is one attention head. ${HA.answer ? "The colours come when each has been removed." : "The colours come when a question has been answered."}`;
    return;
  }
  HA.$("lead").textContent = view.lead;
  const sizes = [...view.values.values()].map(Math.abs).sort((a, b) => b - a);
  // The third largest ends the scale, so that one or two heads do not make all others pale.
  const largest = view.largest || Math.max(sizes[Math.min(2, sizes.length - 1)], view.unit === "nats" ? 0.05 : 1e-6);
  const share = view.unit === "share";
  const words = (value) => (share ? HA.percent(value) : `${HA.signed(value, Math.abs(value) < 0.1 && value !== 0 ? 3 : 2)} ${view.unit}`);
  for (const [name, cell] of HA.cells) {
    const value = view.values.get(name);
    cell.style.background = value === undefined ? "" : HA.shade(value, largest, view.signed);
    cell.classList.toggle("mark", view.marks.has(name));
    const label = value === undefined ? name : `${name}, ${words(value)}${view.marks.has(name) ? HA.color === "effect" ? ", changes the answer" : ", selected" : ""}`;
    cell.setAttribute("aria-label", label);
    cell.title = label;
  }
  if (!view.values.size) { legend.replaceChildren(); HA.$("ranking").replaceChildren(); return; }
  const ends = share ? ["0 %", "100 %"] : [view.signed ? HA.signed(-largest) : "0", `${HA.signed(largest)} ${view.unit}`];
  legend.replaceChildren(
    HA.el("span", {}, `${ends[0]} ${view.low}`),
    HA.el("i", { style: { background: `linear-gradient(to right, ${HA.ramp(view.signed).join(",")})` } }),
    HA.el("span", {}, `${ends[1]} ${view.high}`));
  const best = [...view.values].sort((a, b) => b[1] - a[1]).slice(0, 6);
  HA.$("ranking").replaceChildren(...best.map(([name, value]) => HA.el("li", {}, HA.el("button", { type: "button", on: { click: () => HA.select(name) } }, HA.el("b", {}, name), ` ${words(value)}`))));
};

HA.select = (name, add = false) => {
  const before = HA.selected;
  HA.selected = add ? (before.includes(name) ? before.filter((one) => one !== name) : [...before, name]) : [name];
  HA.paintSelection();
  HA.showHead();
  HA.paintMixer();
  HA.remember();
};

// Select several heads at once, so that the mixer changes all of them.
HA.selectAll = (names) => {
  HA.selected = names.slice();
  HA.paintSelection();
  HA.showHead();
  HA.paintMixer();
  HA.remember();
};

HA.paintSelection = () => {
  for (const [name, cell] of HA.cells) {
    const on = HA.selected.includes(name);
    if ((cell.getAttribute("aria-selected") === "true") !== on) cell.setAttribute("aria-selected", String(on));
  }
};
