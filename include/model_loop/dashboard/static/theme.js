// The theme of the page: that of the Airflow UI around it, else what Airflow remembers, else what
// the system prefers. Before anything is painted, so that nothing flashes.
(function () {
  "use strict";

  function outside() {
    try {
      return window.parent !== window ? window.parent.document.documentElement : null;
    } catch (error) {
      return null; // Framed by somebody else.
    }
  }

  function wanted() {
    const around = outside();
    if (around && (around.classList.contains("dark") || around.classList.contains("light"))) {
      return around.classList.contains("dark") ? "dark" : "light";
    }
    const kept = window.localStorage.getItem("theme");
    if (kept === "dark" || kept === "light") return kept;
    return window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }

  function follow() {
    const theme = wanted();
    if (document.documentElement.dataset.theme !== theme) {
      document.documentElement.dataset.theme = theme;
      document.dispatchEvent(new CustomEvent("theme"));
    }
  }

  follow();
  const around = outside();
  if (around) {
    new MutationObserver(follow).observe(around, { attributes: true, attributeFilter: ["class"] });
  }
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", follow);
  window.addEventListener("storage", follow);
})();
