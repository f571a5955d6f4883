// What the cardholder's pages gain where JavaScript runs; all of them work without it.
"use strict";

// A printed code leads here with the card's number behind "#", which browsers send to nobody.
const fromLink = document.querySelector("[data-from-link]");
const brought = location.hash.slice(1).replace(/\D/g, "").slice(0, 32);
if (fromLink && brought) {
  fromLink.value = brought;
  history.replaceState(null, "", location.pathname + location.search);
  document.querySelector("[type=password]")?.focus();
}

// Long numbers stand in groups of four while they are typed or pasted, with the caret where it was.
const group = (field) => {
  const before = field.value.slice(0, field.selectionEnd).replace(/\D/g, "").length;
  const digits = field.value.replace(/[\s.()\/_-]/g, "");
  if (/\D/.test(digits)) return;
  field.value = digits.replace(/(\d{4})(?=\d)/g, "$1 ");
  const place = before + Math.floor(Math.max(before - 1, 0) / 4);
  if (document.activeElement === field) field.setSelectionRange(place, place);
};
for (const field of document.querySelectorAll("[data-digits]")) {
  if (field.value) group(field);
  field.addEventListener("input", () => { group(field); });
}

// Times are shown in the zone that this device is set to.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.cookie.includes("cardtone-zone=" + zone)) {
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = "cardtone-zone=" + zone + "; path=/card; max-age=31536000; samesite=lax" + secure;
}

// Without a connection the worker shows a page that says so.
if ("serviceWorker" in navigator) navigator.serviceWorker.register("/card/sw.js", { scope: "/card" });
