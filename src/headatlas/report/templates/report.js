// Draws the visible charts, switches between scorers, and marks the section being read.
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const specs = read("chart-specs");
  const config = read("chart-config");
  let drawing = Promise.resolve();

  async function draw(box) {
    if (box.dataset.state || !box.offsetParent) return;
    box.dataset.state = "drawing";
    const label = box.getAttribute("aria-label");
    try {
      await vegaEmbed(box, specs[box.dataset.chart], {
        mode: "vega-lite", actions: false, renderer: box.dataset.renderer, config, ast: false,
        tooltip: { theme: "report", offsetX: 14 },
      });
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

  function choose(scorer, keep) {
    const top = keep ? keep.getBoundingClientRect().top : 0;
    for (const view of document.querySelectorAll("[data-scorer]")) view.hidden = view.dataset.scorer !== scorer;
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
  const mark = () => {
    waiting = false;
    const now = reading();
    for (const [id, link] of links) {
      if (now && id === now.id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  addEventListener("scroll", () => { if (!waiting) { waiting = true; requestAnimationFrame(mark); } }, { passive: true });
  addEventListener("beforeprint", () => { for (const fold of document.querySelectorAll("main details")) fold.open = true; });

  const chosen = document.querySelector("input[name=scorer]:checked");
  if (chosen) choose(chosen.value, null);
  else drawVisible();
  mark();
})();
