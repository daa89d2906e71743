// The console works without this. It adds keys, filters that act as one types, and the calculator's live estimate.
"use strict";

const typing = (target) => target.closest("input, select, textarea, [contenteditable]") !== null;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  const found = {
    "/": () => document.querySelector("[data-find]"),
    "[": () => document.querySelector('a[rel="prev"]'),
    "]": () => document.querySelector('a[rel="next"]'),
  }[event.key]?.();
  if (!found) return;
  event.preventDefault();
  if (event.key === "/") { found.focus(); found.select?.(); } else { found.click(); }
});

for (const input of document.querySelectorAll("[data-filter]")) {
  const entries = [...document.querySelectorAll(`${input.dataset.filter} [data-text]`)];
  const filter = () => {
    const wanted = input.value.trim().toLocaleLowerCase();
    for (const entry of entries) entry.hidden = !entry.dataset.text.toLocaleLowerCase().includes(wanted);
  };
  input.addEventListener("input", filter);
}

for (const select of document.querySelectorAll("select[data-go]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

const calculator = document.querySelector("form[data-live]");
if (calculator) {
  const result = document.querySelector("#estimate");
  let waiting, asked = 0;
  const estimate = async () => {
    const query = new URLSearchParams(new FormData(calculator));
    const number = ++asked;
    history.replaceState(null, "", `${location.pathname}?${query}`);
    const answer = await fetch(`${calculator.dataset.live}?${query}`, { headers: { Accept: "text/html" } });
    if (number === asked && answer.ok) result.innerHTML = await answer.text();
  };
  calculator.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(estimate, 250); });
}
