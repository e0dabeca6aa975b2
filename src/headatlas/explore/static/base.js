"use strict";
// What all parts of the page share: the state, the server (or the files of an exported page), numbers and colours.

const HA = {
  frozen: window.HA_STATIC || null, // the data of an exported page
  about: null,
  asked: null, // { picture, question, step }
  answer: null, // result of the job "ask"
  effects: null,
  attention: null,
  changes: [],
  past: [], // earlier lists of changes, for undo
  selected: [], // names of heads; the last one is shown
  color: "effect",
  box: null, // [x0, y0, x1, y1] dragged on the picture
  turn: 0, // counts questions, so that late answers of an earlier one are dropped
};

HA.$ = (id) => document.getElementById(id);

// An element with attributes and children; texts are text, never markup.
HA.el = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else if (name === "style") for (const [key, one] of Object.entries(value)) node.style.setProperty(key, one);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};

HA.announce = (text) => { HA.$("announce").textContent = text; };

HA.trouble = (text) => {
  HA.$("trouble").textContent = text;
  HA.$("trouble").hidden = !text;
};

// -- server --------------------------------------------------------------------------------------------------------

HA.fetch = async (path, body) => {
  let reply;
  try {
    reply = await fetch(path, body === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  } catch (error) {
    throw new Error("the server does not answer: is `headatlas explore` still running?");
  }
  const text = await reply.text();
  let value;
  try { value = JSON.parse(text); } catch (error) { throw new Error(text.trim() || `error ${reply.status}`); }
  if (!reply.ok) throw new Error(value.error || `error ${reply.status}`);
  return value;
};

HA.running = new Map(); // kind -> id of the job in work, so that a newer one of its kind replaces it

// Let the model do something; `report(news)` is called with progress. Resolves to null if it was cancelled.
HA.job = async (kind, more = {}, report = () => {}) => {
  const asked = more.asked || HA.asked;
  if (HA.frozen) return HA.frozenJob(kind, { ...more, asked });
  const before = HA.running.get(kind);
  if (before) HA.cancel(before);
  const { id } = await HA.fetch("api/job", { kind, ...more, asked });
  return HA.follow(kind, id, report);
};

// Wait for a job of the server.
HA.follow = async (kind, id, report = () => {}) => {
  HA.running.set(kind, id);
  try {
    let version = -1;
    for (;;) {
      const news = await HA.fetch(`api/job/${id}?version=${version}`);
      version = news.version;
      if (news.state === "done") return news.result;
      if (news.state === "failed") throw new Error(news.error);
      if (news.state === "cancelled") return null;
      report(news);
    }
  } finally {
    if (HA.running.get(kind) === id) HA.running.delete(kind);
  }
};

HA.cancel = (id) => HA.fetch(`api/job/${id}/cancel`, {}).catch(() => {});

HA.pictureUrl = (picture, small = false) => {
  if (HA.frozen) {
    const at = HA.frozen.cases.findIndex((one) => JSON.stringify(one.asked.picture) === JSON.stringify(picture));
    return HA.frozen.cases[at].image;
  }
  return `api/picture?which=${encodeURIComponent(JSON.stringify(picture))}${small ? "&small=1" : ""}`;
};

// The results that an exported page has.
HA.frozenJob = async (kind, { asked, head }) => {
  const found = HA.frozen.cases.find((one) => JSON.stringify(one.asked) === JSON.stringify(asked));
  const results = found && found.results;
  if (!results) throw new Error("this question is not part of the exported page");
  if (kind === "writes") return results.writes[head] || null;
  return results[kind] || null;
};

// -- numbers ---------------------------------------------------------------------------------------------------------

HA.signed = (value, digits = 2) => {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? (0).toFixed(digits) : value > 0 ? `+${text}` : text.replace("-", "\u2212");
};

// A number with a true minus sign and no "-0".
HA.plain = (value, digits = 2) => HA.signed(value, digits).replace("+", "");

HA.percent = (p) => {
  if (p === null || p === undefined || Number.isNaN(p)) return "–";
  const near = Math.min(p, 1 - p);
  if (near < 5e-5) return p < 0.5 ? "<0.01 %" : ">99.99 %";
  return `${(100 * p).toFixed(near >= 0.01 ? 0 : near >= 0.002 ? 1 : 2)} %`;
};

HA.bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

HA.layerOf = (name) => name.split(".")[0];

// -- colours ---------------------------------------------------------------------------------------------------------

const DIVERGING = ["#a6540b", "#e08a2e", "#f6cf9c", "#f6f7f8", "#a9d0ea", "#3b8fc7", "#08508a"];
const SEQUENTIAL = ["#f6f7f8", "#cfe3f1", "#86bbdf", "#3b8fc7", "#08508a"];

const DIVERGING_DARK = ["#ffb066", "#c97a2e", "#6d4c2f", "#2a3641", "#1f587f", "#3b8fc7", "#9ad6fa"]; // the middle is the card's colour
const SEQUENTIAL_DARK = ["#2a3641", "#24506f", "#2b74a6", "#5aaee0", "#b5e2fb"];

HA.dark = window.matchMedia("(prefers-color-scheme: dark)");
HA.ramp = (signed) => (HA.dark.matches ? (signed ? DIVERGING_DARK : SEQUENTIAL_DARK) : signed ? DIVERGING : SEQUENTIAL);

// The colour of `value` on a scale that ends at `largest`.
HA.shade = (value, largest, signed) => {
  const colors = HA.ramp(signed);
  const share = Math.max(-1, Math.min(1, value / largest));
  const place = (signed ? (share + 1) / 2 : Math.max(0, share)) * (colors.length - 1);
  const low = Math.min(Math.floor(place), colors.length - 2);
  const part = place - low;
  const mix = [1, 3, 5].map((i) => {
    const a = parseInt(colors[low].slice(i, i + 2), 16), b = parseInt(colors[low + 1].slice(i, i + 2), 16);
    return Math.round(a + (b - a) * part);
  });
  return `rgb(${mix.join(",")})`;
};

HA.sameHeads = (a, b) => a.length === b.length && a.every((name, i) => name === b[i]);
