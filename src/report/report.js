"use strict";
// Shows what toplens computed: rows and texts are picked by what the controls choose and handed to
// Vega-Lite. How a figure looks is said by its specification alone, what it says by the data.
(() => {
  const { figures: specifications, themes } = JSON.parse(document.getElementById("report-figures").textContent);
  const { runs } = JSON.parse(document.getElementById("report-data").textContent);
  const byId = (id) => document.getElementById(id);
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children.filter((child) => child !== null));
    return made;
  };

  // ---- data

  const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const decoded = new WeakMap();
  // A column as something to index by [key * rows + row].
  const column = (values, rows) => {
    if (Array.isArray(values)) return (i) => values[i];
    if (!decoded.has(values)) {
      const packed = values.doubles ? new Float64Array(bytes(values.doubles).buffer)
        : values.floats ? new Float32Array(bytes(values.floats).buffer)
          : values.words ? new Uint16Array(bytes(values.words).buffer) : null;
      if (packed) {
        decoded.set(values, (i) => (Number.isNaN(packed[i]) ? null : packed[i]));
      } else {
        const levels = bytes(values.levels);
        decoded.set(values, (i) => {
          const peak = values.peaks[Math.floor(i / rows)];
          return levels[i] === 0 ? 0 : peak * 2 ** ((levels[i] - 255) / values.per_octave);
        });
      }
    }
    return decoded.get(values);
  };

  const rowsOf = (table, keys) => {
    const key = Math.floor((keys[table.by] ?? 0) / table.share);
    const fixed = Object.entries(table.fixed);
    const columns = Object.entries(table.columns).map(([name, values]) => [name, column(values, table.rows)]);
    return Array.from({ length: table.rows }, (_, row) => {
      const made = {};
      for (const [name, values] of fixed) made[name] = values[row];
      for (const [name, value] of columns) made[name] = value(key * table.rows + row);
      return made;
    });
  };
  const textOf = (keyed, keys) => keyed?.texts[keys[keyed.by] ?? 0] ?? "";

  const csvCell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const csvOf = (drawn) => {
    const table = Object.values(drawn.figure.tables)[0];
    const { keys, run } = drawn;
    const named = {
      head: { layer: Math.floor(keys.head / run.heads), head: keys.head % run.heads },
      set_size: { set_size: run.set_sizes[keys.set_size] },
      entry: { quantity: run.entries[keys.entry]?.quantity, set_size: run.set_sizes[run.entries[keys.entry]?.size] },
    }[table.by] ?? {};
    const rows = rowsOf(table, keys).map((row) => ({ ...named, ...row }));
    const names = Object.keys(rows[0] ?? {});
    return [names, ...rows.map((row) => names.map((name) => row[name]))]
      .map((line) => line.map(csvCell).join(",") + "\n").join("");
  };

  // ---- what is chosen, kept in the page's address

  const sizes = [...new Set(runs.flatMap((run) => run.set_sizes))].sort((a, b) => a - b);
  const entries = new Map(); // quantity -> its first entry in any run
  for (const run of runs) for (const entry of run.entries) if (!entries.has(entry.quantity)) entries.set(entry.quantity, entry);
  const layers = Math.max(...runs.map((run) => run.layers));
  const heads = Math.max(...runs.map((run) => run.heads));
  const chosen = {
    quantity: [...entries.keys()][0] ?? "",
    size: runs[0].set_sizes[runs[0].first.size] ?? 0,
    layer: Math.floor(runs[0].first.head / runs[0].heads),
    head: runs[0].first.head % runs[0].heads,
  };

  const readAddress = () => {
    const fragment = new URLSearchParams(location.hash.slice(1));
    const head = /^(\d+)\.(\d+)$/.exec(fragment.get("head") ?? "");
    if (head && Number(head[1]) < layers && Number(head[2]) < heads) {
      chosen.layer = Number(head[1]);
      chosen.head = Number(head[2]);
    }
    if (sizes.includes(Number(fragment.get("n")))) chosen.size = Number(fragment.get("n"));
    if (entries.has(fragment.get("map"))) chosen.quantity = fragment.get("map");
  };
  const writeAddress = () => {
    const fragment = new URLSearchParams({ head: `${chosen.layer}.${chosen.head}`, n: chosen.size, map: chosen.quantity });
    history.replaceState(null, "", `#${fragment}`);
  };

  const keysOf = (run) => {
    const nearest = run.set_sizes.reduce((best, size, i) =>
      Math.abs(size - chosen.size) < Math.abs(run.set_sizes[best] - chosen.size) ? i : best, 0);
    const entry = run.entries.findIndex((e) => e.quantity === chosen.quantity && (e.size === null || e.size === nearest));
    const there = chosen.layer < run.layers && chosen.head < run.heads;
    return { none: 0, set_size: nearest, entry, head: there ? chosen.layer * run.heads + chosen.head : -1 };
  };

  // ---- figures

  // "$name" in a specification becomes a value, within a longer string its text.
  const filled = (part, values) => {
    if (typeof part === "string") {
      const whole = /^\$(\w+)$/.exec(part);
      if (whole && whole[1] in values) return filled(values[whole[1]], values);
      return part.replace(/\$(\w+)/g, (all, name) => (name in values ? values[name] : all));
    }
    if (Array.isArray(part)) return part.map((item) => filled(item, values));
    if (part && typeof part === "object") {
      return Object.fromEntries(Object.entries(part).map(([name, item]) => [name, filled(item, values)]));
    }
    return part;
  };

  const layout = (meta, width) => {
    const values = { width, width_inside: width - 8, legend_columns: width < 480 ? 2 : 4 };
    if (meta.panels) {
      const { count, least, margin, gap } = meta.panels;
      values.columns = Math.max(1, Math.min(count, Math.floor(width / least)));
      values.panel = Math.floor((width - margin - gap * (values.columns - 1)) / values.columns);
    }
    if (meta.cell) {
      values.text_cells = Math.floor((width - 8) / meta.cell);
      values.width_inside = Math.floor(values.text_cells * meta.cell);
      values.overhang = meta.overhang;
    }
    return values;
  };

  const drawings = [];

  const specificationOf = (drawn) => {
    const { figure, run, keys, holder } = drawn;
    const { usermeta = {}, ...specification } = specifications[figure.id];
    const values = { ...layout(usermeta, holder.clientWidth), ...figure.values, set_sizes: run.set_sizes, set_size: run.set_sizes[keys.set_size] };
    if (figure.variants) {
      const scale = figure.variants.scales[keys.entry];
      Object.assign(values, {
        scale: usermeta.scales[scale],
        domain: figure.variants.domains[keys.entry],
        label: figure.variants.labels[keys.entry],
        format: scale === "categorical" ? "" : ".3~f",
      });
    }
    const datasets = {};
    for (const [name, table] of Object.entries(figure.tables)) datasets[name] = rowsOf(table, keys);
    return { ...filled(specification, values), datasets };
  };

  const absent = (drawn) => Object.values(drawn.figure.tables).some((table) => drawn.keys[table.by] < 0);

  const draw = async (drawn) => {
    const turn = (drawn.turn = (drawn.turn ?? 0) + 1);
    drawn.keys = keysOf(drawn.run);
    const finding = textOf(drawn.figure.finding, drawn.keys);
    drawn.title.textContent = absent(drawn) ? "Not in this run" : finding;
    drawn.note.textContent = textOf(drawn.figure.note, drawn.keys);
    drawn.holder.setAttribute("aria-label", `${finding}. ${drawn.figure.alt}.`
      + (drawn.picks ? " Arrow keys choose another head." : ""));
    if (absent(drawn)) {
      drawn.view?.finalize();
      drawn.view = null;
      drawn.holder.replaceChildren();
      return;
    }
    const specification = { ...specificationOf(drawn), description: drawn.figure.alt };
    const result = await vegaEmbed(drawn.holder, specification, {
      mode: "vega-lite", actions: false, renderer: "svg",
      config: themes[dark.matches ? "dark" : "light"],
      tooltip: { theme: dark.matches ? "dark" : "light" },
    });
    if (turn !== drawn.turn) return result.view.finalize();
    drawn.view?.finalize();
    drawn.view = result.view;
    drawn.width = drawn.holder.clientWidth;
    if (drawn.picks) {
      result.view.addEventListener("click", (_, item) => {
        if (item?.datum?.layer !== undefined) choose({ layer: item.datum.layer, head: item.datum.head });
      });
    }
    return undefined;
  };

  const dependsOn = (drawn, changed) => {
    const before = drawn.keys;
    const now = keysOf(drawn.run);
    const used = new Set([...Object.values(drawn.figure.tables), drawn.figure.finding, drawn.figure.note].map((part) => part?.by));
    if (JSON.stringify(specifications[drawn.figure.id]).includes("$set_size")) used.add("set_size");
    return changed || [...used].some((key) => before?.[key] !== now[key]);
  };

  let drawing = Promise.resolve();
  const redraw = (all = false) => {
    drawing = drawing.then(async () => {
      for (const drawn of drawings) if (dependsOn(drawn, all)) await draw(drawn);
      document.documentElement.dataset.drawn = String(Number(document.documentElement.dataset.drawn ?? 0) + 1);
    });
    return drawing;
  };

  const save = (name, blob) => {
    const link = element("a", { download: name, href: URL.createObjectURL(blob), hidden: true });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };
  const fileName = (drawn, ending) => {
    const part = Object.values(drawn.figure.tables)[0].by === "head" ? `-head-${chosen.layer}.${chosen.head}` : "";
    return `${drawn.run.name}-${drawn.figure.id}${part}.${ending}`;
  };
  const formats = {
    SVG: async (drawn) => new Blob([await drawn.view.toSVG()], { type: "image/svg+xml" }),
    PNG: async (drawn) => {
      const canvas = await drawn.view.toCanvas(3);
      return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    },
    CSV: async (drawn) => new Blob([csvOf(drawn)], { type: "text/csv" }),
  };

  const figureElement = (run, figure) => {
    const drawn = { run, figure, picks: Boolean(specifications[figure.id].usermeta?.picks) };
    drawn.title = element("h3");
    drawn.note = element("p", { className: "note" });
    drawn.holder = element("div", { className: "drawing" });
    drawn.holder.setAttribute("role", drawn.picks ? "group" : "img");
    if (specifications[figure.id].usermeta?.scroll) {
      drawn.holder.classList.add("scroll");
      drawn.holder.tabIndex = 0;
    }
    if (drawn.picks) {
      drawn.holder.tabIndex = 0;
      drawn.holder.classList.add("picks");
      drawn.holder.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
        if (!step) return;
        event.preventDefault();
        choose({
          layer: Math.min(run.layers - 1, Math.max(0, chosen.layer + step[0])),
          head: Math.min(run.heads - 1, Math.max(0, chosen.head + step[1])),
        });
      });
    }
    const buttons = Object.entries(formats).map(([format, make]) => {
      const button = element("button", { type: "button", textContent: format });
      button.setAttribute("aria-label", `Download ${figure.name} as ${format}`);
      button.addEventListener("click", async () => {
        if (drawn.view) save(fileName(drawn, format.toLowerCase()), await make(drawn));
      });
      return button;
    });
    const caption = element("figcaption", {},
      runs.length > 1 ? element("p", { className: "run-name", textContent: run.name }) : null, drawn.title, drawn.note);
    const made = element("figure", { id: `figure-${runs.indexOf(run)}-${figure.id}` }, caption, drawn.holder,
      element("div", { className: "foot" }, element("span", { textContent: figure.documents }), ...buttons));
    drawings.push(drawn);
    return made;
  };

  // ---- the page

  const list = (className, items) => element("dl", { className },
    ...items.map(({ label, text }) => element("div", {}, element("dt", { textContent: label }), element("dd", { textContent: text }))));
  const box = (className, title, lines) => lines.length === 0 ? null
    : element("section", { className: `box ${className}` }, element("h2", { textContent: title }),
      element("ul", {}, ...lines.map((line) => element("li", { textContent: line }))));
  const items = (pairs) => element("dl", { className: "items" },
    ...pairs.flatMap(({ label, text }) => [element("dt", { textContent: label }), element("dd", { textContent: text })]));

  const showFacts = () => {
    byId("facts").replaceChildren(...runs.map((run) => {
      const head = keysOf(run).head;
      return element("div", {}, runs.length > 1 ? element("p", { className: "run-name", textContent: run.name }) : null,
        head < 0 ? element("p", { textContent: "This run has no such head." })
          : list("facts", run.facts.map(({ label, texts }) => ({ label, text: textOf(texts, { head }) }))));
    }));
  };

  const showChoice = () => {
    byId("quantity").value = chosen.quantity;
    byId("size").value = String(chosen.size);
    byId("head").value = `${chosen.layer}.${chosen.head}`;
    byId("head-heading").textContent = `Head ${chosen.layer}.${chosen.head}`;
    showFacts();
  };
  const choose = (change) => {
    Object.assign(chosen, change);
    writeAddress();
    showChoice();
    return redraw();
  };

  const buildPage = () => {
    byId("title").textContent = runs.map((run) => run.title).join("  |  ");
    document.body.classList.toggle("several", runs.length > 1);
    byId("summaries").append(...runs.map((run) => element("div", {},
      runs.length > 1 ? element("p", { className: "run-name", textContent: run.name }) : null,
      list("headlines", run.headlines), items(run.items),
      box("warnings", "Before you rely on it", run.warnings),
      box("left-out", "Left out", run.left_out.map(({ figure, reason }) => `${figure}: ${reason}`)))));
    const groups = new Map();
    for (const entry of entries.values()) {
      if (!groups.has(entry.group)) groups.set(entry.group, element("optgroup", { label: entry.group }));
      groups.get(entry.group).append(element("option", { value: entry.quantity, textContent: entry.label }));
    }
    byId("quantity").append(...groups.values());
    byId("size").append(...sizes.map((size) => element("option", { value: size, textContent: size })));
    for (let layer = 0; layer < layers; ++layer) {
      for (let head = 0; head < heads; ++head) {
        byId("head").append(element("option", { value: `${layer}.${head}`, textContent: `${layer}.${head}` }));
      }
    }
    byId("quantity").addEventListener("change", (event) => choose({ quantity: event.target.value }));
    byId("size").addEventListener("change", (event) => choose({ size: Number(event.target.value) }));
    byId("head").addEventListener("change", (event) => {
      const [layer, head] = event.target.value.split(".").map(Number);
      choose({ layer, head });
    });
    const ids = [...new Set(runs.flatMap((run) => run.figures.map((figure) => figure.id)))];
    const order = Object.fromEntries(runs.flatMap((run) => run.figures).map((figure) => [figure.id, figure]));
    for (const id of ids) {
      const slot = element("div", { className: "slot" });
      if (specifications[id].usermeta?.wide || specifications[id].usermeta?.panels) slot.classList.add("wide");
      for (const run of runs) {
        const figure = run.figures.find((candidate) => candidate.id === id);
        if (figure) slot.append(figureElement(run, figure));
        else slot.append(element("p", { className: "note", textContent: `${run.name}: ${order[id].name} left out, see above` }));
      }
      byId(`${order[id].section}-figures`).append(slot);
    }
  };

  readAddress();
  buildPage();
  showChoice();
  redraw(true).then(() => {
    performance.mark("report-ready");
    document.documentElement.dataset.ready = "true";
  });
  dark.addEventListener("change", () => redraw(true));
  addEventListener("hashchange", () => { readAddress(); showChoice(); redraw(); });
  let resizing = 0;
  new ResizeObserver(() => {
    clearTimeout(resizing);
    resizing = setTimeout(() => {
      if (drawings.some((drawn) => drawn.width && drawn.width !== drawn.holder.clientWidth)) redraw(true);
    }, 150);
  }).observe(document.body);
})();
