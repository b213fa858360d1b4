"use strict";
// Filters over the samples of the page; without this script all of them are shown.
const form = document.querySelector("form.filters");
const box = document.querySelector(".items");
const items = [...box.children];
const told = form.querySelector("output");

function apply() {
  const wanted = [...form.querySelectorAll("select[data-filter]")].filter((select) => select.value);
  const scored = form.querySelector("select[data-scored]");
  const order = form.querySelector("select[data-order]");
  let shown = 0;
  for (const item of items) {
    const fits = wanted.every((select) => item.dataset[select.dataset.filter] === select.value);
    item.hidden = !fits || Boolean(scored && scored.value && !item.dataset.score);
    shown += item.hidden ? 0 : 1;
  }
  const worth = (item) => (item.dataset.score === "" ? -Infinity : Number(item.dataset.score));
  const sorted = order && order.value ? [...items].sort((a, b) => worth(b) - worth(a) || 0) : items;
  box.append(...sorted);
  told.textContent = `${shown} of ${items.length} shown`;
}

form.addEventListener("change", apply);
form.addEventListener("submit", (event) => event.preventDefault());
form.hidden = false;
apply();
