"use strict";
// A dialog to draw a scene: things on a board of six by six.

HA.scene = { things: [], place: "meadow" };

HA.buildScene = () => {
  const dialog = HA.$("scene-dialog");
  const select = (id, label, values) => HA.el("label", {}, HA.el("span", {}, label), HA.el("select", { id }, ...values.map((value) => HA.el("option", { value }, value))));
  HA.$("palette").replaceChildren(
    select("thing-color", "Color", ["red", "orange", "yellow", "green", "blue", "purple"]),
    select("thing-cls", "Thing", ["car", "dog", "fish", "arrow", "circle", "square", "triangle", "star"]),
    select("thing-facing", "Faces", ["right", "down", "left", "up"]),
    select("thing-texture", "Texture", ["plain", "striped", "dotted"]),
    select("thing-size", "Size", ["large", "small"]),
    select("thing-depth", "Depth", ["near", "middle", "far"]),
    select("scene-place", "Place", ["meadow", "beach", "snow", "night"]));
  const board = HA.$("board");
  for (let row = 1; row <= 6; row += 1) {
    const line = HA.el("div", { role: "row" });
    for (let column = 1; column <= 6; column += 1) {
      line.append(HA.el("button", { type: "button", role: "gridcell", "data-row": row, "data-column": column, on: { click: () => HA.toggleThing(row, column) } }));
    }
    board.append(line);
  }
  HA.$("draw").addEventListener("click", () => { HA.paintScene(); dialog.showModal(); });
  HA.$("scene-cancel").addEventListener("click", () => dialog.close());
  HA.$("scene-use").addEventListener("click", async () => {
    if (!HA.scene.things.length) { HA.$("scene-trouble").textContent = "Put a thing on the board first."; return; }
    dialog.close();
    const picture = { scene: { things: HA.scene.things.map((one) => ({ ...one })), place: HA.$("scene-place").value } };
    await HA.newPicture(picture);
  });
};

HA.toggleThing = (row, column) => {
  const trouble = HA.$("scene-trouble");
  trouble.textContent = "";
  const rest = HA.scene.things.filter((one) => one.row !== row || one.column !== column);
  if (rest.length === HA.scene.things.length) {
    const value = (id) => HA.$(id).value;
    const one = { cls: value("thing-cls"), color: value("thing-color"), row, column, facing: value("thing-facing"), texture: value("thing-texture"), size: value("thing-size"), depth: ["near", "middle", "far"].indexOf(value("thing-depth")) };
    if (rest.some((other) => other.cls === one.cls && other.color === one.color)) { trouble.textContent = `There is a ${one.color} ${one.cls} already: choose another color or thing.`; return; }
    if (rest.length === 12) { trouble.textContent = "A scene has at most 12 things."; return; }
    rest.push(one);
  }
  HA.scene.things = rest;
  HA.paintScene();
};

HA.paintScene = () => {
  for (const cell of HA.$("board").querySelectorAll("button")) {
    const one = HA.scene.things.find((thing) => String(thing.row) === cell.dataset.row && String(thing.column) === cell.dataset.column);
    cell.textContent = one ? one.cls : "";
    cell.className = one ? `thing ${one.color}` : "";
    cell.setAttribute("aria-label", `row ${cell.dataset.row}, column ${cell.dataset.column}: ${one ? `${one.color} ${one.cls}` : "empty"}`);
  }
};
