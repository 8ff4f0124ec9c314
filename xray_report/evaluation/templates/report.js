"use strict";
// The page without it shows all there is; this finds, enlarges and keeps the reader's judgement.
{
  const PER_PAGE = 20;
  const find = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const tools = find("form.tools"), pages = find("nav.pages"), count = find(".count");
  const main = find("main"), viewer = find("dialog");
  const fields = tools.elements;

  // A study: what it is found by.
  const studies = all("article").map((article, place) => {
    const data = find(".study", article).dataset;
    const marks = data.marks.split(" ").filter(Boolean).map(mark => mark.split(":"));
    const texts = all(".texts section:not(.wide) p", article).map(text => {
      const bare = text.cloneNode(true);
      all(".sign, .spoken", bare).forEach(part => part.remove());
      return bare.textContent;
    });
    return {
      article, place, marks, id: data.study, mistakes: Number(data.mistakes),
      warned: Number(data.warnings) > 0,
      denied: marks.filter(([kind]) => kind === "contradicted").length,
      words: [data.study, ...texts].join(" ").toLowerCase().replace(/\s+/g, " "),
    };
  });
  const compared = studies.some(one => one.marks.some(([kind]) => kind !== "present"));

  // Which studies are shown: all filters hold at once, several kinds are alternatives.
  let chosen = [], page = 0;
  const pressed = () => all(".kinds [aria-pressed=true]").map(button => button.dataset.kind);
  const ORDERS = {
    "": (a, b) => a.place - b.place,
    contradicted: (a, b) => b.denied - a.denied || a.place - b.place,
    fewest: (a, b) => a.mistakes - b.mistakes || a.place - b.place,
    study: (a, b) => a.id.localeCompare(b.id, undefined, { numeric: true }),
  };

  function choose() {
    const kinds = pressed(), finding = fields.finding.value, order = fields.order.value;
    const wanted = fields.text.value.toLowerCase().split(/\s+/);
    chosen = studies.filter(one =>
      (!fields.warned.checked || one.warned) && wanted.every(word => one.words.includes(word))
      && (!kinds.length && !finding || one.marks.some(([kind, name]) =>
        (!kinds.length || kinds.includes(kind)) && (!finding || name === finding))));
    chosen.sort(ORDERS[order]);
    if (order !== main.dataset.order)
      pages.before(...[...studies].sort(ORDERS[order]).map(one => one.article));
    main.dataset.order = order;
    show(0);
  }

  function show(number) {
    page = number;
    const shown = new Set(chosen.slice(page * PER_PAGE, (page + 1) * PER_PAGE));
    for (const one of studies) one.article.hidden = !shown.has(one);
    const last = Math.max(1, Math.ceil(chosen.length / PER_PAGE));
    pages.hidden = last === 1;
    find("span", pages).textContent = `page ${page + 1} of ${last}`;
    find("[data-step='-1']").disabled = page === 0;
    find("[data-step='1']").disabled = page === last - 1;
    const some = chosen.length === studies.length ? "" : `${chosen.length} of `;
    const from = page * PER_PAGE + 1, to = Math.min(chosen.length, (page + 1) * PER_PAGE);
    count.textContent = `${some}${studies.length} ${studies.length === 1 ? "study" : "studies"}`
      + (last > 1 ? `, ${from} to ${to} shown` : "");
  }

  const press = (button, on) => button.setAttribute("aria-pressed", String(on));
  const isPressed = button => button.getAttribute("aria-pressed") === "true";

  function fillTools() {
    const findings = new Map();
    for (const one of studies)
      for (const name of new Set(one.marks.map(([, finding]) => finding)))
        if (name) findings.set(name, (findings.get(name) || 0) + 1);
    for (const [name, number] of [...findings].sort())
      fields.finding.add(new Option(`${name.replaceAll("_", " ")} (${number})`, name));
    for (const button of all(".kinds button")) {
      const having = studies.filter(one => one.marks.some(([kind]) => kind === button.dataset.kind));
      find(".number", button).textContent = having.length;
      button.disabled = !having.length;
      button.addEventListener("click", () => { press(button, !isPressed(button)); choose(); });
    }
    find(".kinds").hidden = !compared;
    if (!compared) all("[value=contradicted], [value=fewest]", tools).forEach(option => option.remove());
    find(".warned").hidden = !studies.some(one => one.warned);
    find(".looked", tools).hidden = !find(".words");
    tools.addEventListener("input", event => { if (event.target.name) choose(); });
    tools.addEventListener("submit", event => event.preventDefault());
    pages.addEventListener("click", event => {
      const step = Number(event.target.dataset?.step || 0);
      if (!step) return;
      show(page + step);
      main.focus({ preventScroll: true });
      main.scrollIntoView();
    });
    tools.hidden = false;
  }

  // Attention: a word's heat is laid over the films of its study, and over the large one.
  function lay(heat, source) {
    heat.hidden = !source;
    if (source) heat.src = source;
    else heat.removeAttribute("src");
  }

  function look(study, button) {
    for (const other of all(".words button", study)) press(other, other === button);
    const sources = button ? button.dataset.heat.split(" ") : [];
    all(".film .heat", study).forEach((heat, view) => lay(heat, sources[view]));
  }

  function connectWords(study) {
    for (const button of all(".words button", study))
      button.addEventListener("click", () => look(study, isPressed(button) ? null : button));
    all("button.film", study).forEach((film, view) =>
      film.addEventListener("click", () => enlarge(study, view)));
    all(".words, .judgement", study).forEach(part => { part.hidden = false; });
  }

  // The viewer.
  let open = null;

  function enlarge(study, view) {
    const words = all(".words button", study);
    open = { study, view, word: Math.max(0, words.findIndex(isPressed)) };
    press(find(".attention", viewer), words.some(isPressed));
    find(".looked", viewer).hidden = !words.length;
    find(".chosen", viewer).replaceChildren(...words.map((word, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = word.textContent;
      button.addEventListener("click", () => {
        open.word = place;
        press(find(".attention", viewer), true);
        draw();
      });
      return button;
    }));
    draw();
    if (!viewer.open) viewer.showModal();
  }

  function draw() {
    const films = all("button.film", open.study), words = all(".words button", open.study);
    const small = find(".xray", films[open.view]), large = find(".xray", viewer);
    const on = words.length > 0 && isPressed(find(".attention", viewer));
    large.src = small.src;
    large.alt = `${small.alt} of ${open.study.dataset.study}`;
    const [width, height] = ["width", "height"].map(side => Number(small.getAttribute(side)));
    viewer.style.setProperty("--proportion", width / height);
    find("h2", viewer).textContent = large.alt;
    find(".turn", viewer).hidden = films.length < 2;
    lay(find(".heat", viewer), on ? words[open.word].dataset.heat.split(" ")[open.view] : "");
    all(".chosen button", viewer).forEach((one, place) => press(one, on && place === open.word));
    look(open.study, on ? words[open.word] : null);
  }

  function turn() {
    open.view = (open.view + 1) % all("button.film", open.study).length;
    draw();
  }

  find(".turn", viewer).addEventListener("click", turn);
  find(".close", viewer).addEventListener("click", () => viewer.close());
  find(".attention", viewer).addEventListener("click", event => {
    press(event.currentTarget, !isPressed(event.currentTarget));
    draw();
  });
  viewer.addEventListener("click", event => { if (event.target === viewer) viewer.close(); });
  viewer.addEventListener("keydown", event => {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") turn();
  });

  // The reader's judgement, saved where the browser saves files; nothing else keeps it.
  let unsaved = false;
  const quoted = cell => /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;

  function judgements() {
    const rows = [["study_id", "acceptable", "serious_mistake", "note", "page"]];
    for (const { article, id } of studies) {
      const [acceptable, serious, note] = all(".judgement input", article);
      if (acceptable.checked || serious.checked || note.value.trim())
        rows.push([id, String(acceptable.checked), String(serious.checked), note.value.trim(),
          document.title]);
    }
    return rows;
  }

  function save() {
    const rows = judgements();
    const text = rows.map(row => row.map(quoted).join(",") + "\r\n").join("");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv" }));
    link.download = "judgements.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    unsaved = false;
    count.textContent = `${rows.length - 1} judged ${rows.length === 2 ? "study" : "studies"} saved`;
  }

  main.addEventListener("input", event => {
    if (event.target.closest(".judgement")) unsaved = true;
  });
  addEventListener("beforeunload", event => { if (unsaved) event.preventDefault(); });
  find(".save", tools).addEventListener("click", save);

  for (const { article } of studies) connectWords(find(".study", article));
  fillTools();
  choose();
}
