// Keeps the parts of a page current that name a stream. Hidden tabs have no stream.
"use strict";
for (const part of document.querySelectorAll("[data-events]")) {
  let source = null;
  const close = () => { if (source) { source.close(); source = null; } };
  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource(part.dataset.events);
    source.onmessage = (event) => {
      const focused = part.contains(document.activeElement);
      const selected = String(getSelection()) !== "" && part.contains(getSelection().anchorNode);
      // A reader who is in the middle of something keeps what they see.
      if (!focused && !selected) part.innerHTML = event.data;
    };
  };
  document.addEventListener("visibilitychange", () => document.hidden ? close() : open());
  addEventListener("pagehide", close);
  open();
}
