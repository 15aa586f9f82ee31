// Leads to pages of Airflow, and asks again for what is being read.
(function () {
  "use strict";

  // The frame may not lead the page around it anywhere: a link of that page does.
  function leadAirflow(event) {
    const link = event.target.closest("a[data-airflow]");
    if (!link || window.parent === window) return;
    event.preventDefault();
    const around = window.parent.document;
    const outer = around.createElement("a");
    outer.href = link.href;
    around.body.append(outer);
    outer.click();
    outer.remove();
  }

  function showEvidently(event) {
    const details = event.target;
    const place = details.querySelector(".frame");
    if (details.open && !place.firstChild) {
      const frame = document.createElement("iframe");
      frame.title = "Evidently's report";
      frame.setAttribute("sandbox", "allow-scripts");
      frame.src = details.dataset.src;
      place.append(frame);
    }
  }

  function askAgain() {
    if ("waiting" in document.body.dataset) window.setTimeout(() => window.location.reload(), 900);
  }

  const { draw, drawWhenSeen } = window.plots;
  drawWhenSeen(document.querySelectorAll(".plot"));
  document.addEventListener("theme", () => document.querySelectorAll(".plot.drawn").forEach(draw));
  document.addEventListener("click", leadAirflow);
  document.querySelectorAll(".choices select, .switch select").forEach((select) => {
    select.addEventListener("change", () => select.form.requestSubmit());
  });
  document.querySelectorAll("details.evidently").forEach((details) => {
    details.addEventListener("toggle", showEvidently);
  });
  askAgain();
  document.documentElement.dataset.ready = "";
})();
