// The overview updates itself: the server sends the part of the page that changed.
(() => {
  const live = document.getElementById("live");
  const stale = document.getElementById("stale");
  const SILENT = 16000;
  let heard = Date.now();
  const source = new EventSource(live.dataset.from);
  source.addEventListener("page", (event) => {
    heard = Date.now();
    const inside = live.contains(document.activeElement) && document.activeElement.getAttribute("href");
    live.innerHTML = event.data;
    if (inside) {
      const again = [...live.querySelectorAll("a")].find((a) => a.getAttribute("href") === inside);
      if (again) again.focus({ preventScroll: true });
    }
  });
  source.addEventListener("beat", () => { heard = Date.now(); });
  setInterval(() => { stale.hidden = Date.now() - heard < SILENT; }, 1000);
})();
