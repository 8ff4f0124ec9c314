// Where the model looked for the word that is pointed at, or that was chosen by a tap or a key.
let chosen = null;

function show(word) {
  for (const layer of element.querySelectorAll(".heat")) {
    const address = word && word.getAttribute("data-heat" + layer.dataset.slot);
    layer.hidden = !address;
    if (address) layer.src = address;
  }
  for (const one of element.querySelectorAll(".word")) one.classList.toggle("on", one === word);
  const told = element.querySelector(".word-shown");
  if (told) told.textContent = word ? `looked here for “${word.textContent}”` : "";
}

function choose(word) {
  chosen = word;
  for (const one of element.querySelectorAll(".word.seen")) one.tabIndex = one === word ? 0 : -1;
  show(word);
}

const wordOf = event => event.target.closest(".word.seen");
element.addEventListener("mouseover", event => wordOf(event) && show(wordOf(event)));
element.addEventListener("mouseout", event => wordOf(event) && show(chosen));
element.addEventListener("focusin", event => wordOf(event) && choose(wordOf(event)));
element.addEventListener("click", event => wordOf(event) && choose(wordOf(event)));
element.addEventListener("keydown", event => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step || !wordOf(event)) return;
  const words = [...element.querySelectorAll(".word.seen")];
  const next = words[words.indexOf(wordOf(event)) + step];
  if (next) next.focus();
  event.preventDefault();
});

// An answer begins with the first word that names a finding, and in a small window is gone to.
watch("value", () => {
  choose(element.querySelector(".word.seen.named") || element.querySelector(".word.seen"));
  if (element.getBoundingClientRect().top > innerHeight / 2) element.scrollIntoView();
});
