// What pages gain where JavaScript runs; all of them work without it.
"use strict";

document.documentElement.dataset.js = "";

// "/" goes to the find box.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  const box = document.querySelector("[data-find]");
  if (!box) return;
  event.preventDefault();
  box.focus();
  box.select();
});

// A copy button copies the text of the element that it names.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  } catch {
    // Not allowed here: select it, so that the usual keys copy it.
    getSelection().selectAllChildren(source);
  }
});

// The form of an act opens in a dialog over the page it belongs to.
const dialog = document.getElementById("dialog");
if (dialog) {
  const body = document.getElementById("dialog-body");
  document.addEventListener("htmx:after:swap", () => {
    if (!dialog.open && body.childElementCount) {
      const title = body.querySelector("h1");
      if (title) dialog.setAttribute("aria-label", title.textContent);
      dialog.showModal();
    }
    // What is told over the page is not told behind the dialog.
    if (dialog.open && document.querySelector("#notices .notice.bad")) dialog.close();
  });
  dialog.addEventListener("close", () => { body.replaceChildren(); });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
    if (!event.target.closest("[data-close]")) return;
    event.preventDefault();
    dialog.close();
  });
}

// A box that ticks all boxes of its table, and a bar that counts those that are ticked.
document.addEventListener("change", (event) => {
  const all = event.target.closest("[data-tick-all]");
  const scope = event.target.closest("[data-ticks]");
  if (!scope) return;
  const boxes = [...scope.querySelectorAll("input[type=checkbox][data-tick]")];
  if (all) for (const box of boxes) box.checked = all.checked;
  const ticked = boxes.filter((box) => box.checked).length;
  for (const place of scope.querySelectorAll("[data-ticked]")) place.textContent = ticked;
});

// A form that was sent is not sent twice by a second click.
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button || event.target.method !== "post") return;
  setTimeout(() => { button.disabled = true; }, 0);
  setTimeout(() => { button.disabled = false; }, 4000);
});

// "Print" prints.
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-print]")) print();
});
