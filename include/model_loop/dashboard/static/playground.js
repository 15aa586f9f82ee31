// Asks for a trip: the prediction server for the answer, and the dashboard for interval and reasons.
(function () {
  "use strict";

  const form = document.getElementById("trip");
  const said = document.getElementById("said");
  const answers = document.getElementById("answers");
  const reasons = document.getElementById("reasons");
  const map = document.getElementById("map");
  const zones = new Map(
    JSON.parse(map.nextElementSibling.textContent).data.at(-1).customdata.map((zone, at) => [zone, at]),
  );
  const circles = JSON.parse(map.nextElementSibling.textContent).data.at(-1);
  let written = false;

  function make(tag, text, className) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  }

  function place(name) {
    const at = zones.get(Number(form.elements[name].value));
    return at === undefined ? null : { x: circles.x[at], y: circles.y[at] };
  }

  // As the crow flies, with the detour of streets (see scoring.typical).
  function estimate() {
    if (written) return;
    const from = place("pickup_zone");
    const to = place("dropoff_zone");
    if (!from || !to) return;
    const north = (to.y - from.y) * 69.1;
    const east = (to.x - from.x) * 69.1 * Math.cos((40.7 * Math.PI) / 180);
    form.elements.trip_distance.value = Math.max(1.27 * Math.hypot(north, east), 0.5).toFixed(2);
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

  function trip() {
    const number = (name) => Number(form.elements[name].value);
    const asked = {
      pickup_zone: number("pickup_zone"),
      dropoff_zone: number("dropoff_zone"),
      // Browsers leave the seconds out where they are 0.
      pickup_at: form.elements.pickup_at.value.padEnd(19, ":00"),
      trip_distance: number("trip_distance"),
    };
    if (form.elements.passenger_count.value !== "") asked.passenger_count = number("passenger_count");
    return JSON.stringify(asked);
  }

  async function post(address, body) {
    const answer = await fetch(address, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body,
    });
    const told = await answer.json();
    if (!answer.ok) {
      const { given, rule, remedy } = told.error || { given: "The server", rule: `answered ${answer.status}`, remedy: "" };
      throw new Error(`${given} ${rule}. ${remedy}`);
    }
    return told;
  }

  function card(one) {
    const box = make("div", undefined, `answer ${one.part}`);
    const head = make("p", undefined, "label");
    head.append(make("span", one.part, `badge ${one.part}`), ` version ${one.version}${one.family ? `, ${one.family}` : ""}, asked when ${one.moment}`);
    box.append(head);
    if (one.minutes === undefined) {
      box.append(make("p", one.why));
      return box;
    }
    box.append(make("p", `${one.minutes.toFixed(1)} min`, "value"));
    if (one.interval) {
      box.append(make("p", `${one.interval[0].toFixed(1)} to ${one.interval[1].toFixed(1)} min`, "interval"));
    }
    box.append(make("p", one.how, "detail"));
    return box;
  }

  /** The part and the version of an answer, as people call them. */
  const named = (one) => `${one.part}, version ${one.version} (${one.moment}),`;

  function reason(one, found) {
    const figure = make("figure", undefined, "chart");
    const title = make("div", undefined, "title");
    title.append(make("h3", `How the ${named(one)} comes to it`), make("p", "minutes", "unit"));
    figure.append(title);
    if (!found.figure) {
      figure.append(make("p", found.why, "empty"));
      return figure;
    }
    const plot = make("div", undefined, "plot");
    plot.style.height = `${90 + 32 * found.features.length}px`;
    plot.setAttribute("role", "img");
    const strongest = found.features.slice(0, 3).map(([name, value]) => `${name} ${value.toFixed(1)}`);
    plot.setAttribute("aria-label", `How the ${named(one)} comes to its prediction; strongest: ${strongest.join(", ")} minutes.`);
    plot.figure = found.figure;
    const details = make("details");
    details.append(make("summary", "Table"));
    const table = make("table");
    table.append(make("caption", `What each feature adds, by the ${named(one)} in minutes`));
    const body = make("tbody");
    for (const [name, value] of [["average or intercept", found.base], ...found.features]) {
      const row = make("tr");
      const header = make("th", name);
      header.scope = "row";
      row.append(header, make("td", value.toFixed(2), "number"));
      body.append(row);
    }
    table.append(body);
    details.append(table);
    const csv = make("a", "CSV", "csv");
    const lines = ["feature,minutes", `base,${found.base}`, ...found.features.map((feature) => feature.join(","))];
    csv.href = `data:text/csv;charset=utf-8,${encodeURIComponent(lines.join("\n"))}`;
    csv.download = `why_${one.alias}.csv`;
    title.append(csv);
    figure.append(plot, make("figcaption", `By ${found.method}.`), details);
    return figure;
  }

  async function explain(one, body, box) {
    try {
      const found = await post(`explain?why=${one.alias}`, body);
      const made = reason(one, found);
      box.replaceWith(made);
      if (found.figure) window.plots.draw(made.querySelector(".plot"));
    } catch (error) {
      box.textContent = error.message;
    }
  }

  async function predict(event) {
    event.preventDefault();
    const body = trip();
    said.className = "";
    said.textContent = "Asking …";
    answers.replaceChildren();
    try {
      const [[served], compared] = await Promise.all([post("../predict", body), post("explain", body)]);
      said.textContent = `Version ${served.model_version} answers (asked when ${served.moment}): ${served.minutes.toFixed(1)} minutes.`;
      answers.replaceChildren(...compared.answers.map(card));
      const boxes = compared.answers.map((one) => {
        const box = make("p", `Explaining the ${named(one)} takes a few seconds the first time …`, "empty");
        return [one, box];
      });
      reasons.replaceChildren(...boxes.map(([, box]) => box));
      for (const [one, box] of boxes) await explain(one, body, box);
    } catch (error) {
      said.className = "failed";
      said.textContent = error.message;
    }
  }

  form.addEventListener("submit", predict);
  form.elements.pickup_zone.addEventListener("change", changed);
  form.elements.dropoff_zone.addEventListener("change", changed);
  form.elements.trip_distance.addEventListener("input", () => {
    written = form.elements.trip_distance.value !== "";
  });
  estimate();
  mark();
  listen();
})();
