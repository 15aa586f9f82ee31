// Asks for a row: the prediction server for the answer, and the dashboard for interval and reasons.
(function () {
  "use strict";

  const form = document.getElementById("row");
  const said = document.getElementById("said");
  const answers = document.getElementById("answers");
  const reasons = document.getElementById("reasons");
  const { target, unit, row: noun, predict: PREDICT, explain: EXPLAIN } = form.dataset;
  const why = (alias) => `${EXPLAIN}${EXPLAIN.includes("?") ? "&" : "?"}why=${alias}`;
  // Where all models are asked at the same moment, it tells nothing.
  const several = "moment" in form.elements;
  const asked = (one) => (several ? `, asked at the moment ${one.moment}` : "");

  function make(tag, text, className) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  }

  /** A number of the target with so many digits that the first three count. */
  function number(value) {
    const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 1 ? 1 : 3;
    return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  }

  const amount = (value, own = unit) => `${number(value)} ${own}`.trim();

  const percent = (share) => `${(100 * share).toLocaleString("en", { maximumSignificantDigits: 3 })}\u00a0%`;

  /** What is predicted, in words: an amount, or a class with its probability. */
  function answered(one) {
    if (!one.probabilities) return amount(one.prediction, one.unit);
    return `${target} = ${one.prediction} (${percent(one.probabilities[one.prediction])})`;
  }

  /** The limits of an answer, rounded outwards; null where it has none. */
  function between({ lower, upper, unit: own }) {
    const outwards = (value, round) => {
      const step = Math.abs(value) >= 100 ? 1 : Math.abs(value) >= 1 ? 10 : 1000;
      return round(value * step) / step;
    };
    const low = lower === null ? null : outwards(lower, Math.floor);
    const high = upper === null ? null : outwards(upper, Math.ceil);
    if (low === null) return high === null ? null : `at most ${amount(high, own)}`;
    return high === null ? `at least ${amount(low, own)}` : `${number(low)} to ${amount(high, own)}`;
  }

  /** The value of a field as requests have it; undefined where it is left empty. */
  function value(element) {
    if (element.value === "") return undefined;
    switch (element.dataset.kind) {
      case "number":
      case "choice":
        return Number(element.value);
      case "yes_no":
        return element.value === "true";
      case "time":
        // Browsers leave the seconds out where they are 0.
        return element.value.padEnd(19, ":00");
      default:
        return element.value;
    }
  }

  function body() {
    const row = {};
    for (const element of form.elements) {
      const given = element.name ? value(element) : undefined;
      if (given !== undefined) row[element.name] = given;
    }
    return JSON.stringify(row);
  }

  async function post(address, content) {
    const answer = await fetch(address, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: content,
    });
    const told = await answer.json();
    if (!answer.ok) {
      const { given, rule, remedy } = told.error || { given: "The server", rule: `answered ${answer.status}`, remedy: "" };
      throw new Error(`${given} ${rule}. ${remedy}`);
    }
    return told;
  }

  const assumptions = (assumed) =>
    Object.entries(assumed || {}).map(([name, taken]) => `${name} = ${typeof taken === "number" ? Number(taken.toFixed(3)) : taken}`).join(", ");

  /** Classes that have a bar, the likeliest ones. */
  const BARS = 8;

  /** Bars of the classes, the likeliest first; that of the positive one is marked at the threshold. */
  function probabilities(one) {
    const list = make("ul", undefined, "probabilities");
    list.setAttribute("aria-label", "Probabilities of the classes");
    const ordered = Object.entries(one.probabilities).sort((a, b) => b[1] - a[1]);
    for (const [label, share] of ordered.slice(0, BARS)) {
      const track = make("span", undefined, "track");
      const bar = make("span", undefined, "bar");
      bar.style.width = `${100 * share}%`;
      track.append(bar);
      if (label === one.positive) {
        const mark = make("span", undefined, "mark");
        mark.style.left = `${100 * one.threshold}%`;
        mark.title = `From ${percent(one.threshold)} on, ${label} is the answer`;
        track.append(mark);
      }
      const line = make("li");
      line.classList.toggle("answer-class", label === String(one.prediction));
      line.append(make("span", label, "name"), track, make("span", percent(share), "number"));
      list.append(line);
    }
    if (ordered.length > BARS) list.append(make("li", `and ${ordered.length - BARS} less likely ones`, "detail"));
    return list;
  }

  function card(one) {
    const box = make("div", undefined, `answer ${one.part}`);
    const head = make("p", undefined, "label");
    head.append(make("span", one.part, `badge ${one.part}`), ` version ${one.version}${one.family ? `, ${one.family}` : ""}${asked(one)}`);
    box.append(head);
    if (one.prediction === undefined) {
      box.append(make("p", one.why));
      return box;
    }
    if (one.probabilities) {
      box.append(make("p", `${one.prediction}`, "value"), probabilities(one));
      if (one.classes) box.append(make("p", `At ${one.level} %: ${one.classes.join(", ")}`, "interval"));
    } else {
      box.append(make("p", amount(one.prediction, one.unit), "value"));
      const limits = between(one);
      if (limits) box.append(make("p", limits, "interval"));
    }
    box.append(make("p", one.how, "detail"));
    const assumed = assumptions(one.assumed);
    if (assumed) box.append(make("p", `Assumed: ${assumed}.`, "detail"));
    return box;
  }

  /** The part and the version of an answer, as people call them. */
  const named = (one) => `${one.part}, version ${one.version}${several ? ` (${one.moment})` : ""},`;

  function reason(one, found) {
    const figure = make("figure", undefined, "chart");
    // Reasons of classes are in log-odds or probabilities.
    const own = found.unit ?? unit;
    const inOwn = own ? ` (${own})` : "";
    const title = make("div", undefined, "title");
    title.append(make("h3", `How the ${named(one)} comes to it`), make("p", own, "unit"));
    figure.append(title);
    if (!found.figure) {
      figure.append(make("p", found.why, "empty"));
      return figure;
    }
    const plot = make("div", undefined, "plot");
    plot.style.height = `${90 + 32 * found.features.length}px`;
    plot.setAttribute("role", "img");
    const strongest = found.features.slice(0, 3).map(([name, added]) => `${name} ${number(added)}`);
    plot.setAttribute("aria-label", `How the ${named(one)} comes to its prediction; strongest: ${strongest.join(", ")} ${own}.`);
    plot.figure = found.figure;
    const details = make("details");
    details.append(make("summary", "Table"));
    const table = make("table");
    table.append(make("caption", `What each column adds to the ${target}, by the ${named(one)}${own ? ` in ${own}` : ""}`));
    const rows = make("tbody");
    for (const [name, added] of [[found.average, found.base], ...found.features]) {
      const line = make("tr");
      const header = make("th", name);
      header.scope = "row";
      line.append(header, make("td", added.toPrecision(4), "number"));
      rows.append(line);
    }
    table.append(rows);
    details.append(table);
    const csv = make("a", "CSV", "csv");
    const lines = [`column,added${inOwn}`, `base,${found.base}`, ...found.features.map(([name, added]) => `"${name.replaceAll('"', '""')}",${added}`)];
    csv.href = `data:text/csv;charset=utf-8,${encodeURIComponent(lines.join("\n"))}`;
    csv.download = `why_${one.alias}.csv`;
    title.append(csv);
    figure.append(plot, make("figcaption", `By ${found.method}.`), details);
    return figure;
  }

  async function explain(one, content, box) {
    try {
      const found = await post(why(one.alias), content);
      const made = reason(one, found);
      box.replaceWith(made);
      if (found.figure) window.plots.draw(made.querySelector(".plot"));
    } catch (error) {
      box.textContent = error.message;
    }
  }

  async function predict(event) {
    event.preventDefault();
    const content = body();
    said.className = "";
    said.textContent = "Asking …";
    answers.replaceChildren();
    try {
      const [[served], compared] = await Promise.all([post(PREDICT, content), post(EXPLAIN, content)]);
      const assumed = assumptions(served.assumed);
      said.textContent =
        `Version ${served.model_version} answers ${answered(served)}${asked(served)}.` +
        (assumed ? ` Assumed: ${assumed}.` : "") +
        (served.notices || []).map((notice) => ` Note: ${notice.message}.`).join("");
      answers.replaceChildren(...compared.answers.map(card));
      const boxes = compared.answers.map((one) => {
        const box = make("p", `Explaining the ${named(one)} …`, "empty");
        return [one, box];
      });
      reasons.replaceChildren(...boxes.map(([, box]) => box));
      for (const [one, box] of boxes) await explain(one, content, box);
    } catch (error) {
      said.className = "failed";
      said.textContent = error.message;
      reasons.replaceChildren(make("p", `Predict a ${noun} to see how its prediction comes about.`, "empty wide"));
    }
  }

  form.addEventListener("submit", predict);
})();
