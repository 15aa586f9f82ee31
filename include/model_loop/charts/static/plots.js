// Draws the charts of a document, in the colours of its theme.
(function () {
  "use strict";

  const CIVIDIS = ["#00224e", "#2a3f6d", "#575d6d", "#7d7c78", "#a59c74", "#d3c164", "#fee838"];

  function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function mixed(share) {
    // Best to worst, dark to light on light ground, the other way round on dark ground.
    const dark = document.documentElement.dataset.theme === "dark";
    const at = (dark ? 1 - share * 0.85 : share * 0.85) * (CIVIDIS.length - 1);
    return CIVIDIS[Math.round(at)];
  }

  // The scale itself, low to high: light to dark on light ground, the other way round on dark ground.
  function scale() {
    const dark = document.documentElement.dataset.theme === "dark";
    const colors = dark ? CIVIDIS : [...CIVIDIS].reverse();
    return colors.map((one, place) => [place / (colors.length - 1), one]);
  }

  function scaled(share) {
    const colors = scale();
    const at = share * (colors.length - 1);
    const low = Math.min(Math.floor(at), colors.length - 2);
    const parts = [low, low + 1].map((place) => colors[place][1].match(/\w\w/g).map((two) => parseInt(two, 16)));
    const found = parts[0].map((one, place) => Math.round(one + (at - low) * (parts[1][place] - one)));
    return `rgb(${found.join(",")})`;
  }

  // Names of colours become colours of the theme, wherever they stand in a figure.
  function themed(value) {
    if (typeof value === "string" && value.startsWith("@")) {
      if (value === "@light") return document.documentElement.dataset.theme !== "dark";
      if (value === "@scale") return scale();
      if (value.startsWith("@scaled")) return scaled(Number(value.slice(7)));
      if (value.startsWith("@scale")) return mixed(Number(value.slice(6)));
      return color(`--plot-${value.slice(1)}`) || value;
    }
    if (Array.isArray(value)) return value.map(themed);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, themed(one)]));
    }
    return value;
  }

  function layout(figure) {
    const text = color("--text");
    const axis = {
      gridcolor: color("--line"),
      linecolor: color("--line"),
      zerolinecolor: color("--line"),
      tickfont: { color: color("--muted"), size: 11 },
      title: { font: { color: color("--muted"), size: 12 } },
    };
    const given = themed(figure.layout);
    return {
      ...given,
      template: {
        layout: {
          font: { family: color("--font"), color: text, size: 12 },
          paper_bgcolor: "rgba(0,0,0,0)",
          plot_bgcolor: "rgba(0,0,0,0)",
          hoverlabel: { font: { family: color("--font") } },
          xaxis: { ...axis, automargin: true },
          yaxis: { ...axis, automargin: true },
          separators: ".,",
        },
      },
      autosize: true,
      margin: { l: 52, r: 16, t: 12, b: 40, ...given.margin },
      legend: {
        orientation: "h",
        y: -0.2,
        yanchor: "top",
        x: 0,
        font: { size: 11 },
        traceorder: "normal",
        ...given.legend,
      },
      bargap: 0.25,
      dragmode: false,
    };
  }

  const CONFIG = { displayModeBar: false, responsive: true, scrollZoom: false };

  function draw(plot) {
    const source = plot.nextElementSibling;
    const figure = plot.figure || JSON.parse(source.textContent);
    plot.figure = figure;
    const drawn = window.Plotly.react(plot, themed(figure.data), layout(figure), CONFIG);
    plot.classList.add("drawn");
    if (figure.slider && !plot.slider) plot.slider = addSlider(plot);
    return drawn;
  }

  function make(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  // A slider below a figure: each step has its own cells, texts and sentence. Plotly's own cannot be
  // reached by the keyboard, nor read out.
  function addSlider(plot) {
    const { label, start, marked, steps } = plot.figure.slider;
    const name = `slider-${plot.parentElement.id}`;
    const ticks = make("datalist", { id: `${name}-ticks` }, make("option", { value: start, label: marked }));
    const input = make("input", { type: "range", id: name, min: 0, max: steps.length - 1, value: start });
    input.setAttribute("list", ticks.id);
    const output = make("output", { htmlFor: name });
    const said = make("p", { className: "said" });
    const back = make("button", { type: "button", textContent: `Back to ${steps[start].value} (${marked})` });

    function show() {
      const step = steps[input.value];
      const own = Number(input.value) === start;
      output.textContent = own ? `${step.value} (${marked})` : step.value;
      said.textContent = step.said;
      input.setAttribute("aria-valuetext", `${step.value}. ${step.said}`);
      back.disabled = own;
    }

    function move() {
      const { z, text } = steps[input.value];
      const [cells, ...rest] = plot.figure.data;
      plot.figure = { ...plot.figure, data: [{ ...cells, z, text }, ...rest] };
      draw(plot);
      show();
    }

    input.addEventListener("input", move);
    back.addEventListener("click", () => {
      input.value = start;
      move();
      input.focus();
    });
    const head = make("label", { htmlFor: name }, `${label} `, output);
    const slider = make("div", { className: "slider" }, head, input, ticks, back, said);
    plot.nextElementSibling.after(slider);
    show();
    return slider;
  }

  function drawWhenSeen(plots) {
    const watch = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) {
          if (entry.isIntersecting) {
            watch.unobserve(entry.target);
            draw(entry.target);
          }
        }
      },
      { rootMargin: "300px" },
    );
    plots.forEach((plot) => watch.observe(plot));
  }

  window.plots = { draw, drawWhenSeen };
})();
