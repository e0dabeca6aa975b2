"use strict";
// The picture: which one, a box dragged on it, and maps of attention over it.

HA.showPicture = () => {
  const image = HA.$("picture");
  image.src = HA.pictureUrl(HA.asked.picture);
  HA.setBox(null);
  const number = HA.asked.picture.example;
  if (number !== undefined) HA.$("example").value = String(number);
  else HA.$("example").value = "";
};

HA.setBox = (box) => {
  HA.box = box;
  HA.drawBox();
  HA.paintMixer();
};

HA.drawBox = (live = HA.box) => {
  const canvas = HA.$("box"), image = HA.$("picture");
  const width = image.clientWidth, height = image.clientHeight;
  const dense = window.devicePixelRatio || 1;
  canvas.width = width * dense;
  canvas.height = height * dense;
  const pen = canvas.getContext("2d");
  pen.scale(dense, dense);
  const boxes = HA.changes.filter((one) => one.kind === "gaze").map((one) => [one.box, "#0072b2"]);
  if (live) boxes.push([live, "#d55e00"]);
  for (const [[x0, y0, x1, y1], color] of boxes) {
    pen.lineWidth = 4;
    pen.strokeStyle = "#fff";
    pen.strokeRect(x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height);
    pen.lineWidth = 2;
    pen.strokeStyle = color;
    pen.strokeRect(x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height);
  }
};

HA.dragBoxes = () => {
  const stage = HA.$("box");
  let from = null;
  const at = (event) => {
    const frame = stage.getBoundingClientRect();
    return [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height].map((v) => Math.max(0, Math.min(1, v)));
  };
  const between = (a, b) => [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])].map((v) => Math.round(v * 1000) / 1000);
  stage.addEventListener("pointerdown", (event) => { from = at(event); stage.setPointerCapture(event.pointerId); event.preventDefault(); });
  stage.addEventListener("pointermove", (event) => { if (from) HA.drawBox(between(from, at(event))); });
  stage.addEventListener("pointerup", (event) => {
    if (!from) return;
    const box = between(from, at(event));
    from = null;
    HA.setBox(box[2] - box[0] > 0.02 && box[3] - box[1] > 0.02 ? box : null);
  });
  stage.addEventListener("pointercancel", () => { from = null; HA.drawBox(); });
  window.addEventListener("resize", () => HA.drawBox());
  HA.$("picture").addEventListener("load", () => HA.drawBox());
};

// A picture darkened where a head does not look. `map` is { rows, columns, values } of the head `index`.
HA.drawMap = (canvas, image, map, index) => {
  const width = 480, height = Math.max(1, Math.round((width * image.naturalHeight) / image.naturalWidth));
  canvas.width = width;
  canvas.height = height;
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0, width, height);
  const size = map.rows * map.columns;
  const values = map.bytes.subarray(index * size, (index + 1) * size);
  const w = width / map.columns, h = height / map.rows;
  for (let y = 0; y < map.rows; y += 1) {
    for (let x = 0; x < map.columns; x += 1) {
      const light = values[y * map.columns + x] / 255;
      const left = Math.floor(x * w), top = Math.floor(y * h), right = Math.ceil((x + 1) * w), bottom = Math.ceil((y + 1) * h);
      pen.fillStyle = `rgba(10,16,24,${0.74 * (1 - light)})`;
      pen.fillRect(left, top, right - left, bottom - top);
      if (light > 0.03) {
        pen.fillStyle = `rgba(255,176,32,${0.42 * light})`;
        pen.fillRect(left, top, right - left, bottom - top);
      }
    }
  }
};

HA.loadPicture = async (picture, question = "", step = null) => {
  HA.asked = { picture, question, step };
  HA.clearAnswer(question ? "" : "Type a question about this picture.");
  HA.showPicture();
  HA.$("question").value = question;
  await HA.showSuggestions();
};

HA.showSuggestions = async () => {
  const list = HA.$("suggestions");
  if (HA.frozen) { HA.frozenList(); return; }
  const turn = HA.turn;
  let found = [];
  try { found = await HA.fetch("api/suggestions", HA.asked.picture); } catch (error) { HA.trouble(error.message); }
  if (turn !== HA.turn && !found.length) return;
  const titles = Object.fromEntries(HA.about.functions.map((one) => [one.name, one.title]));
  HA.$("more").hidden = !found.length;
  list.replaceChildren(...found.map((one) => HA.el("li", {}, HA.el("button", { type: "button", on: { click: () => {
    HA.$("question").value = one.text;
    HA.ask({ picture: HA.asked.picture, question: one.text, step: one.step === "" ? null : Number(one.step) });
  } } }, HA.el("span", {}, one.text), HA.el("small", {}, `${titles[one.function] ? `${titles[one.function]}, ` : ""}right answer: ${one.answer}`)))));
};

// A file's bytes in base64.
HA.base64 = (file) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
  reader.onerror = () => reject(new Error("the file cannot be read"));
  reader.readAsDataURL(file);
});

HA.upload = async (file) => {
  if (!file) return;
  HA.trouble("");
  if (file.size > 16 * 2 ** 20) { HA.trouble("the picture must have at most 16 MB"); return; }
  try {
    const { upload } = await HA.fetch("api/upload", { name: file.name.slice(0, 200), data: await HA.base64(file) });
    HA.clearChanges();
    HA.turn += 1;
    await HA.loadPicture({ upload });
    HA.forget();
    HA.$("question").focus();
  } catch (error) { HA.trouble(error.message); }
};

HA.dropFiles = () => {
  const sign = HA.$("drop");
  let depth = 0;
  document.addEventListener("dragenter", (event) => { if (event.dataTransfer && [...event.dataTransfer.types].includes("Files")) { depth += 1; sign.hidden = false; } });
  document.addEventListener("dragleave", () => { depth = Math.max(0, depth - 1); if (!depth) sign.hidden = true; });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => { event.preventDefault(); depth = 0; sign.hidden = true; HA.upload(event.dataTransfer.files[0]); });
  HA.$("file").addEventListener("change", (event) => { HA.upload(event.target.files[0]); event.target.value = ""; });
};
