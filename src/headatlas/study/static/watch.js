"use strict";
// Asks for the state every second; reloads the page below when a stage has ended, at the place where the reader is.
const at = (id) => document.getElementById(id);
let shown = "";
let last = null; // the latest state
let drawing = false; // whether the frame waits for a page
const plain = (name) => name.replaceAll("_", " ");

function line(state) {
  if (state.error) return `stopped: ${state.error}`;
  if (state.finished) return `finished; the report is ${state.report}`;
  const part = state.work ? `${state.work} ${state.done} of ${state.total}${state.pace ? ` (${state.pace})` : ""}` : "";
  const between = state.stages.some((one) => one.state === "done") ? "preparing the next stage" : "starting";
  return [state.stage ? `stage ${plain(state.stage)}` : between, part].filter(Boolean).join(": ");
}

function draw(state) {
  at("model").textContent = state.model;
  document.title = `${state.finished ? "✓ " : ""}${state.model}: HeadAtlas study`;
  at("now").textContent = line(state);
  at("bar").max = Math.max(1, state.total);
  at("bar").value = state.finished ? at("bar").max : state.done;
  at("stages").replaceChildren(...state.stages.map((one) => {
    const item = document.createElement("li");
    item.className = one.state;
    item.textContent = one.seconds === null ? plain(one.name) : `${plain(one.name)} ${one.seconds.toFixed(one.seconds < 10 ? 1 : 0)} s`;
    return item;
  }));
  last = state;
  if (state.page && state.page !== shown) show(state);
  caption();
}

function show(state) {
  shown = state.page;
  const frame = at("page");
  const place = frame.hidden ? 0 : frame.contentWindow.scrollY;
  drawing = true;
  frame.onload = () => {
    drawing = false;
    frame.contentWindow.scrollTo(0, place);
    caption();
  };
  frame.src = state.page;
  frame.hidden = false;
}

// What the frame shows, in words.
function caption() {
  at("what").textContent = drawing ? "Drawing …"
    : !shown ? "The first picture appears when the questions have been read."
      : shown.startsWith("questions") ? "Some of the questions. The report follows when the first answers are in."
        : last.finished ? "The finished report."
          : "The report as far as stages have ended. Intervals and verdicts come with the later stages.";
}

async function ask() {
  try {
    const reply = await fetch("state", { cache: "no-store" });
    const state = await reply.json();
    draw(state);
    if (!state.finished && !state.error) setTimeout(ask, 1000);
  } catch {
    at("now").textContent = "The study has ended or was stopped; this page shows what was known last.";
  }
}
ask();
