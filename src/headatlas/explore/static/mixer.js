"use strict";
// The mixer: changes of heads, undo, and the answers before and after.

HA.setChanges = (changes) => {
  HA.past.push(HA.changes);
  HA.changes = changes;
  HA.afterChange();
};

HA.clearChanges = () => {
  HA.changes = [];
  HA.past = [];
  HA.mixed = null;
  HA.paintChanges();
  HA.drawBox();
};

HA.undo = () => {
  if (!HA.past.length) return;
  HA.changes = HA.past.pop();
  HA.announce("undone");
  HA.afterChange();
};

HA.afterChange = () => {
  HA.paintChanges();
  HA.drawBox();
  HA.remember();
  HA.mix();
};

HA.mix = async () => {
  const box = HA.$("compare");
  if (!HA.changes.length || !HA.asked) {
    const running = HA.running.get("mix");
    if (running) HA.cancel(running);
    HA.mixed = null;
    box.replaceChildren();
    box.removeAttribute("aria-busy");
    HA.$("code").textContent = HA.answer ? HA.answer.snippet : "";
    return;
  }
  if (!HA.asked.question) { HA.mixTrouble("Ask a question first: the answers before and after the change are compared."); return; }
  const turn = HA.turn, changes = HA.changes;
  box.setAttribute("aria-busy", "true");
  if (!box.childElementCount) box.replaceChildren(HA.el("p", { class: "weak" }, "Comparing …"));
  try {
    const found = await HA.job("mix", { changes }, (news) => { if (box.firstChild && box.firstChild.className === "weak") box.firstChild.textContent = HA.waiting(news) || "Comparing …"; });
    if (!found || turn !== HA.turn || changes !== HA.changes) return;
    HA.mixed = found;
    HA.showMix(found);
    HA.$("code").textContent = found.snippet;
    if (!HA.attention) return;
    HA.shown.attention = await HA.job("attention", { position: HA.shown.position, changes });
    if (changes === HA.changes) HA.showGaze();
  } catch (error) {
    if (turn === HA.turn && changes === HA.changes) HA.mixTrouble(error.message);
  } finally { if (changes === HA.changes) box.removeAttribute("aria-busy"); } // else a newer mix is at work
};

HA.showMix = (found) => {
  const column = (title, said, key, changed) => HA.el("div", { class: changed ? "side changed" : "side" }, HA.el("h3", {}, title), HA.el("p", { class: "said" }, said || "nothing"),
    HA.el("table", { class: "bars" }, ...found.alternatives.map((one) => HA.el("tr", {}, HA.el("th", { scope: "row" }, one.text),
      HA.el("td", { class: "track" }, HA.el("i", { style: { width: `${100 * (one[key] || 0)}%` } })), HA.el("td", { class: "num" }, HA.percent(one[key]))))));
  const other = found.before !== found.after;
  HA.$("compare").replaceChildren(HA.el("div", { class: "sides" }, column("Before", found.before, "before", false), column("After", found.after, "after", other)));
  HA.announce(other ? `the answer changes from ${found.before} to ${found.after || "nothing"}` : `the answer stays ${found.after}`);
};

HA.describe = (change) => {
  if (change.kind === "recipe") {
    const found = HA.about.recipes.find((one) => one.recipe === change.recipe);
    return found ? `recipe ${found.method} (${found.n} ${found.n === 1 ? "head" : "heads"})` : "a recipe that is no longer there";
  }
  const all = HA.allHeads();
  const who = HA.sameHeads(change.heads, all) ? "all heads" : change.heads.length > 4 ? `${change.heads.slice(0, 3).join(", ")} and ${change.heads.length - 3} more` : change.heads.join(", ");
  const what = { silence: () => "silent", scale: () => `× ${change.factor}`, gaze: () => `gaze to the box (${HA.signed(change.beta, 1)})`,
    knockout: () => "cannot see the picture", steer: () => `steered (${HA.signed(change.alpha, 1)} SD)` }[change.kind]();
  return `${who}: ${what}${change.scope === "answer" ? ", at the answer only" : ""}`;
};

HA.paintChanges = () => {
  HA.$("changes").replaceChildren(...HA.changes.map((change, i) => HA.el("li", {}, HA.el("span", {}, HA.describe(change)),
    HA.el("button", { type: "button", "aria-label": `Remove: ${HA.describe(change)}`, on: { click: () => HA.setChanges(HA.changes.filter((one, k) => k !== i)) } }, "×"))));
  HA.$("undo").disabled = !HA.past.length;
  HA.$("clear").disabled = !HA.changes.length;
};

HA.allHeads = () => [...HA.cells.keys()].filter((name) => name.startsWith("L"));

HA.paintMixer = () => {
  if (!HA.about || HA.frozen) return;
  const some = HA.asked && HA.asked.question ? HA.selected.length : 0;
  HA.$("mixer-for").textContent = some ? `For ${some > 6 ? `${some} selected heads` : HA.selected.join(", ")}${some ? " (Shift-click or Space selects several):" : ""}`
    : "Select heads in the grid, then silence, scale or turn them. The answer before and after appears at once.";
  for (const control of HA.$("controls").querySelectorAll("[data-needs~=heads]")) control.disabled = !some;
  const gaze = HA.$("do-gaze");
  gaze.disabled = !some || !HA.box;
  gaze.title = HA.box ? "" : "Drag a box on the picture first";
  HA.$("box-note").textContent = HA.box ? "to the box on the picture" : "drag a box on the picture first";
};

// -- head recipes ------------------------------------------------------------------------------------------------------

HA.paintRecipes = (chosen) => {
  const { recipes } = HA.about;
  HA.$("recipe").replaceChildren(...recipes.map((one) => HA.el("option", { value: one.recipe }, `${one.method}, ${one.n} ${one.n === 1 ? "head" : "heads"} (${one.name})`)));
  if (chosen) HA.$("recipe").value = chosen;
  HA.$("recipe").hidden = HA.$("do-recipe").hidden = !recipes.length;
};

HA.applyRecipe = (fingerprint) => {
  const one = HA.about.recipes.find((known) => known.recipe === fingerprint);
  if (one && !HA.changes.some((change) => change.recipe === fingerprint)) HA.setChanges([...HA.changes, { kind: "recipe", recipe: fingerprint, heads: one.heads }]);
};

// A recipe is a folder; its two files are read here and checked by the server.
HA.loadRecipe = async (files) => {
  HA.trouble("");
  const find = (name) => [...files].find((file) => file.name === name);
  const record = find("recipe.json"), tensors = find("recipe.safetensors");
  try {
    if (!record || !tensors) throw new Error("a head recipe is a folder with recipe.json and recipe.safetensors: choose that folder");
    if (tensors.size > 16 * 2 ** 20 || record.size > 4 * 2 ** 20) throw new Error("this recipe is too large to load here: start the page with --recipe FOLDER");
    const name = (record.webkitRelativePath || "").split("/").slice(-2)[0] || "recipe";
    const { id } = await HA.fetch("api/recipe", { name: name.slice(0, 200), record: await record.text(), tensors: await HA.base64(tensors) });
    const found = await HA.follow("recipe", id);
    if (!found) return;
    HA.about.recipes = [...HA.about.recipes.filter((one) => one.recipe !== found.recipe), found];
    HA.paintRecipes(found.recipe);
    HA.applyRecipe(found.recipe);
  } catch (error) { HA.mixTrouble(error.message); }
};

HA.mixTrouble = (text) => HA.$("compare").replaceChildren(HA.el("p", { class: "error", role: "alert" }, text));

HA.buildMixer = () => {
  const scope = () => (HA.$("scope").checked ? "answer" : "all");
  const add = (change) => HA.setChanges([...HA.changes, { heads: HA.selected.slice(), scope: scope(), ...change }]);
  const number = (id, value, min, max, step, label) => HA.el("input", { id, type: "number", value, min, max, step, "aria-label": label });
  const read = (id) => { const value = Number(HA.$(id).value); return Number.isFinite(value) ? value : 0; };
  const act = (label, needs, handler, id) => HA.el("button", { type: "button", id, "data-needs": needs, on: { click: handler } }, label);
  const run = HA.about.run;
  const functions = run ? HA.about.functions.filter((one) => !run.steer[one.name]) : [];
  HA.$("controls").replaceChildren(
    HA.el("div", {}, act("Silence", "heads", () => add({ kind: "silence" }))),
    HA.el("div", {}, act("Scale", "heads", () => add({ kind: "scale", factor: read("factor") })), HA.el("span", {}, "×"), number("factor", "2", "-10", "10", "0.1", "factor")),
    HA.el("div", {}, act("Turn gaze", "heads", () => add({ kind: "gaze", beta: read("beta"), box: HA.box }), "do-gaze"), number("beta", "3", "-20", "20", "0.5", "strength of the gaze"), HA.el("span", { id: "box-note", class: "weak" })),
    HA.el("div", {}, act("Hide the picture", "heads", () => add({ kind: "knockout" })), act("from all heads", "", () => add({ kind: "knockout", heads: HA.allHeads() }))),
    functions.length ? HA.el("div", {}, act("Steer", "heads", () => add({ kind: "steer", alpha: read("alpha"), function: HA.$("direction").value })), number("alpha", "1", "-20", "20", "0.5", "strength in standard deviations"),
      HA.el("select", { id: "direction", "aria-label": "direction from wrong to right answers of" }, ...functions.map((one) => HA.el("option", { value: one.name }, one.title))))
      : HA.el("p", { class: "weak" }, run ? "Steering: this study has too few wrong answers to find a direction." : "Steering needs directions from a study: start with --run RUN."),
    HA.el("div", {}, HA.el("select", { id: "recipe", "aria-label": "Head recipe" }), act("Apply recipe", "", () => HA.applyRecipe(HA.$("recipe").value), "do-recipe"),
      HA.el("label", { class: "button", for: "recipe-files" }, "Load a head recipe", HA.el("input", { id: "recipe-files", type: "file", webkitdirectory: true, class: "sr", on: { change: (event) => { HA.loadRecipe(event.target.files).finally(() => { event.target.value = ""; }); } } }))),
    HA.el("label", { class: "check" }, HA.el("input", { id: "scope", type: "checkbox" }), "only where the answer is formed"));
  HA.paintRecipes();
  HA.$("undo").addEventListener("click", HA.undo);
  HA.$("clear").addEventListener("click", () => HA.setChanges([]));
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !/^(INPUT|TEXTAREA)$/.test(event.target.tagName)) { event.preventDefault(); HA.undo(); }
  });
};
