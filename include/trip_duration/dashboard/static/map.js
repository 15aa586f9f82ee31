// Chooses the zones of a trip on a map, and estimates the distance between them.
(function () {
  "use strict";

  const form = document.getElementById("row");
  const map = document.getElementById("map");
  const circles = JSON.parse(map.nextElementSibling.textContent).data.at(-1);
  const zones = new Map(circles.customdata.map((zone, at) => [zone, at]));
  const distance = form.elements.trip_distance;
  let written = false;

  function place(name) {
    const at = zones.get(Number(form.elements[name].value));
    return at === undefined ? null : { x: circles.x[at], y: circles.y[at] };
  }

  // As the crow flies, with the detour of streets (see typical.py).
  function estimate() {
    if (written) return;
    const from = place("pickup_zone");
    const to = place("dropoff_zone");
    if (!from || !to) return;
    const north = (to.y - from.y) * 69.1;
    const east = (to.x - from.x) * 69.1 * Math.cos((40.7 * Math.PI) / 180);
    distance.value = Math.max(1.27 * Math.hypot(north, east), 0.5).toFixed(2);
  }

  function mark() {
    const figure = map.figure || JSON.parse(map.nextElementSibling.textContent);
    const data = figure.data.filter((trace) => trace.name !== "trip");
    const from = place("pickup_zone");
    const to = place("dropoff_zone");
    if (from && to) {
      data.push({
        type: "scatter",
        mode: "lines+markers+text",
        name: "trip",
        x: [from.x, to.x],
        y: [from.y, to.y],
        text: ["from", "to"],
        textposition: "top center",
        textfont: { size: 13, weight: 700 },
        line: { color: "@2", width: 3 },
        marker: { size: 14, color: ["@2", "@4"] },
        hoverinfo: "skip",
        showlegend: false,
      });
    }
    map.figure = { ...figure, data };
    window.plots.draw(map);
  }

  function listen() {
    map.on("plotly_click", (event) => {
      const zone = event.points[0].customdata;
      if (!Number.isInteger(zone)) return;
      const side = document.querySelector("input[name=side]:checked").value;
      form.elements[`${side}_zone`].value = String(zone);
      document.querySelector(`input[name=side][value=${side === "pickup" ? "dropoff" : "pickup"}]`).checked = true;
      changed();
    });
  }

  function changed() {
    estimate();
    mark();
  }

  form.elements.pickup_zone.addEventListener("change", changed);
  form.elements.dropoff_zone.addEventListener("change", changed);
  distance.addEventListener("input", () => {
    written = distance.value !== "";
  });
  estimate();
  mark();
  listen();
})();
