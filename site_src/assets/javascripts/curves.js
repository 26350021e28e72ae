// Curves that can be asked, by uPlot: hover read-out, logarithmic axis, smoothing, steps against time, zoom by drag. The numbers
// stand in <div class="curves" data-curves="JSON">, beside the pictures that readers without scripts see.
(() => {
  const COLOURS = {
    default: ["#0072b2", "#c2500a", "#00805d", "#a64d85", "#8a6d00", "#3a87ad"],
    slate: ["#58b0f0", "#ff9152", "#34c79a", "#e394c4", "#e0c04a", "#8fd0ee"],
  };
  const DASHES = [[], [8, 4], [2, 3], [8, 3, 2, 3]];
  const X = { steps: "step (updates)", minutes: "training time (min)", share: "share of the run (%)" };

  const shown = (value) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "-";
    const size = Math.abs(value);
    return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  };

  // Exponential average that is not drawn to 0 at the start (as in Adam); null stays null.
  const smooth = (values, weight) => {
    if (!weight) return values;
    let [sum, norm] = [0, 0];
    return values.map((value) => {
      if (value === null) return null;
      sum = weight * sum + (1 - weight) * value;
      norm = weight * norm + (1 - weight);
      return sum / norm;
    });
  };

  const control = (tag, label, words = {}) => {
    const field = Object.assign(document.createElement(tag), words);
    const wrapped = document.createElement("label");
    wrapped.append(label, field);
    return [wrapped, field];
  };

  const draw = (host) => {
    const held = JSON.parse(host.dataset.curves);
    const bar = document.createElement("div");
    bar.className = "curves__bar";
    const stage = document.createElement("div");
    stage.className = "curves__stage";
    stage.setAttribute("role", "img");
    stage.ariaLabel = `${held.title}; the same numbers are in the picture for print and in the tables of the page`;
    const axes = Object.keys(X).filter((key) => held.series.every((one) => one[key]?.some((value) => value !== null)));
    const [over, abscissa] = control("select", "over ");
    abscissa.append(...axes.map((key) => new Option(X[key], key)));
    const [which, shownCurve] = control("select", "show ");
    shownCurve.append(...held.series.map((one, place) => new Option(one.label, place)));
    const [logarithmic, log] = control("input", "log axis ", { type: "checkbox", checked: held.log });
    const [smoothing, weight] = control("input", "smoothing ", { type: "range", min: 0, max: 0.98, step: 0.02, value: 0 });
    const reset = Object.assign(document.createElement("button"), { type: "button", textContent: "whole range" });
    if (held.apart && held.series.length > 1) bar.append(which);
    bar.append(over, logarithmic, smoothing, reset);
    let plot = null;

    const show = () => {
      const scheme = COLOURS[document.body.dataset.mdColorScheme] ?? COLOURS.default;
      const ink = getComputedStyle(document.body).getPropertyValue("--md-typeset-color") || "#555";
      const grid = getComputedStyle(document.body).getPropertyValue("--md-default-fg-color--lightest");
      const series = held.apart ? [held.series[Number(shownCurve.value)]] : held.series;
      const tables = series.map((one) => {
        const rows = one[abscissa.value].map((x, place) => [x, one.values[place]]).filter(([x]) => x !== null);
        rows.sort(([a], [b]) => a - b);
        return [rows.map(([x]) => x), smooth(rows.map(([, y]) => y), Number(weight.value))];
      });
      const data = tables.length > 1 ? uPlot.join(tables) : tables[0];
      const values = data.slice(1).flat().filter((value) => value !== null && value !== undefined);
      const distr = !log.checked ? 1 : values.every((value) => value > 0) ? 3 : 4; // 4: logarithmic to both sides of 0
      plot?.destroy();
      plot = new uPlot({
        width: Math.max(stage.clientWidth, 240),
        height: 300,
        scales: { x: { time: false }, y: { distr, asinh: 0.01 } },
        cursor: { drag: { x: true, y: true, uni: 20 } },
        legend: { live: true },
        axes: [
          { label: X[abscissa.value], stroke: ink, grid: { stroke: grid }, ticks: { stroke: grid } },
          { label: held.apart ? series[0].label : held.unit, stroke: ink, grid: { stroke: grid }, ticks: { stroke: grid }, size: 64,
            values: (_, ticks) => ticks.map((value) => (value === null ? "" : shown(value))) },
        ],
        series: [
          { label: X[abscissa.value], value: (_, value) => shown(value) },
          ...series.map((one, place) => ({
            label: one.label, stroke: scheme[place % scheme.length], width: 1.6, spanGaps: true,
            dash: DASHES[Math.floor(place / scheme.length) % DASHES.length], value: (_, value) => shown(value),
          })),
        ],
        hooks: {
          draw: [(chart) => {
            if (abscissa.value !== "steps") return;
            for (const [kind, steps] of Object.entries(held.marks ?? {})) {
              chart.ctx.save();
              chart.ctx.strokeStyle = kind === "phase" || kind === "resumed" ? ink : scheme[1];
              chart.ctx.setLineDash(kind === "phase" ? [] : [4, 4]);
              for (const step of steps) {
                const x = chart.valToPos(step, "x", true);
                if (x < chart.bbox.left || x > chart.bbox.left + chart.bbox.width) continue;
                chart.ctx.beginPath();
                chart.ctx.moveTo(x, chart.bbox.top);
                chart.ctx.lineTo(x, chart.bbox.top + chart.bbox.height);
                chart.ctx.stroke();
              }
              chart.ctx.restore();
            }
          }],
        },
      }, data, stage);
    };

    host.addEventListener("curves:new", ({ detail }) => {
      const places = new Map(detail.map((one) => [one.label, one]));
      held.series = held.series.map((one) => places.get(one.label) ?? one);
      const [{ min, max }, steps] = [plot.scales.x, plot.data[0]];
      const zoomed = min > steps[0] || max < steps.at(-1);
      show();
      if (zoomed) plot.setScale("x", { min, max });
    });
    host.dataset.title = held.title;
    host.classList.add("curves--drawn");
    host.prepend(bar, stage);
    show();
    for (const field of [abscissa, log, weight, shownCurve]) field.addEventListener("input", show);
    reset.addEventListener("click", show);
    let width = stage.clientWidth;
    new ResizeObserver(() => {
      if (Math.abs(stage.clientWidth - width) < 2) return;
      width = stage.clientWidth;
      plot.setSize({ width: Math.max(width, 240), height: 300 });
    }).observe(stage);
    new MutationObserver(show).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
  };

  document$.subscribe(({ body }) => {
    for (const host of body.querySelectorAll(".curves:not(.curves--drawn)")) draw(host);
  });
})();
