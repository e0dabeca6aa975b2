// Draws the visible charts, switches between scorers, marks one head in every chart and text, and shows the section being read.
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const specs = read("chart-specs");
  const config = read("chart-config");
  const selected = read("selected-heads"); // scorer -> heads
  const views = new Map(); // chart element -> Vega view with a signal "marked"
  let drawing = Promise.resolve();
  let marked = "";

  async function draw(box) {
    if (box.dataset.state || !box.offsetParent) return;
    box.dataset.state = "drawing";
    const label = box.getAttribute("aria-label");
    const spec = specs[box.dataset.chart];
    try {
      const { view } = await vegaEmbed(box, spec, {
        mode: "vega-lite", actions: false, renderer: box.dataset.renderer, config, ast: false,
        tooltip: { theme: "report", offsetX: 14 },
      });
      if ((spec.params || []).some((param) => param.name === "marked")) {
        views.set(box, view);
        if (marked) await view.signal("marked", marked).runAsync();
        view.addEventListener("click", (event, item) => item?.datum?.name && mark(item.datum.name));
        box.classList.add("clickable");
      }
      // vega-embed sets its own label, "Vega visualization".
      box.setAttribute("aria-label", label);
      box.setAttribute("role", "img");
      box.dataset.state = "drawn";
    } catch (error) {
      box.dataset.state = "failed";
      box.textContent = `This chart could not be drawn: ${error.message}`;
      console.error(error);
    }
  }

  function drawVisible() {
    document.documentElement.dataset.ready = "false";
    drawing = drawing.then(async () => {
      for (const box of document.querySelectorAll(".vega")) await draw(box);
      document.documentElement.dataset.ready = "true";
    });
    return drawing;
  }

  // One head is marked at a time; marking it again clears it.
  const bar = document.querySelector(".marked-bar");
  function mark(head) {
    marked = head === marked ? "" : head;
    for (const node of document.querySelectorAll("[data-head]")) {
      const same = node.dataset.head === marked;
      node.classList.toggle("marked", same);
      if (node.tagName === "BUTTON") node.setAttribute("aria-pressed", String(same));
    }
    for (const view of views.values()) view.signal("marked", marked).runAsync();
    bar.hidden = !marked;
    bar.querySelector("span").textContent = marked ? `${marked} is marked in every chart, picture and table.` : "";
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.head");
    if (button) mark(button.dataset.head);
    else if (event.target.closest("[data-clear]")) mark(marked);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && marked) mark(marked); });

  function choose(scorer, keep) {
    const top = keep ? keep.getBoundingClientRect().top : 0;
    for (const view of document.querySelectorAll("[data-scorer]")) view.hidden = view.dataset.scorer !== scorer;
    for (const row of document.querySelectorAll("[data-for]")) row.classList.toggle("chosen", row.dataset.for === scorer);
    for (const node of document.querySelectorAll("figure[data-head], .card[data-head]"))
      node.classList.toggle("is-selected", (selected[scorer] || []).includes(node.dataset.head));
    // The section being read stays in place, although the height of those above may have changed.
    drawVisible().then(() => keep && window.scrollBy({ top: keep.getBoundingClientRect().top - top, behavior: "instant" }));
  }

  const sections = [...document.querySelectorAll("main > section[id]")];
  const reading = () => sections.filter((s) => s.getBoundingClientRect().top < 140).pop() || sections[0];

  for (const radio of document.querySelectorAll("input[name=scorer]"))
    radio.addEventListener("change", () => choose(radio.value, window.scrollY > 200 ? reading() : null));
  for (const fold of document.querySelectorAll("details")) fold.addEventListener("toggle", drawVisible);

  const links = new Map([...document.querySelectorAll("nav.contents a")].map((a) => [a.hash.slice(1), a]));
  let waiting = false;
  const place = () => {
    waiting = false;
    const now = reading();
    for (const [id, link] of links) {
      if (now && id === now.id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  addEventListener("scroll", () => { if (!waiting) { waiting = true; requestAnimationFrame(place); } }, { passive: true });

  // What is folded is printed too.
  addEventListener("beforeprint", () => { for (const fold of document.querySelectorAll("main details")) fold.open = true; });

  const chosen = document.querySelector("input[name=scorer]:checked");
  if (chosen) choose(chosen.value, null);
  else drawVisible();
  place();
})();
