"use strict";
/* The page's script: the list's filter and order, a task's page drawn when it is opened, the charts, the keys. */
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  const DARK_INK = new Set([3, 4, 5, 6, 7, 8]); // colours on which black digits read better than white ones
  const TURNS = ["as given", "turned left", "turned 180°", "turned right"];
  const COLOURS = 6; // of lines in a chart: .s0 to .s5 of the style; each line has a stroke of its own as well
  const ORDER = ["solved", "agreed", "near miss", "split vote", "failed", "placeholder"];
  let digits = false, open = null;
  try { digits = localStorage.getItem("arc-digits") === "1"; } catch { /* no storage for pages from disk: not kept */ }

  // ---- building blocks ----------------------------------------------------------------------------------------------

  function make(name, attributes = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) if (value != null && value !== false) node.setAttribute(key, value);
    node.append(...children.flat().filter((child) => child != null));
    return node;
  }
  function shape(name, attributes = {}) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  }
  const rowsOf = (text) => text.split("/");
  const seconds = (s) => s < 60 ? `${s.toFixed(1)} s` : `${Math.floor(s / 60)} min ${String(Math.round(s % 60)).padStart(2, "0")} s`;
  const percent = (p) => p >= 0.995 ? "over 99 %" : p < 0.01 ? "under 1 %" : `${Math.round(100 * p)} %`;
  const count = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
  const sign = (status) => make("span", { class: `sign ${status.replace(" ", "-")}`, "aria-hidden": "true" });

  /* A grid as SVG: one path a colour, made of horizontal runs; what differs from `right` is crossed out. */
  function picture(text, side, name, right) {
    const rows = rowsOf(text), height = rows.length, width = rows[0].length, paths = {};
    rows.forEach((row, y) => {
      for (let x = 0; x < width;) {
        let end = x + 1;
        while (end < width && row[end] === row[x]) end++;
        (paths[row[x]] ??= []).push(`M${x} ${y}h${end - x}v1H${x}z`);
        x = end;
      }
    });
    const svg = shape("svg", { class: "gridpic", viewBox: `-.05 -.05 ${width + .1} ${height + .1}`, width: Math.round(width * side) });
    if (name) { svg.setAttribute("role", "img"); svg.setAttribute("aria-label", `${name}, ${height} by ${width} cells`); }
    for (const [colour, runs] of Object.entries(paths)) svg.append(shape("path", { d: runs.join(""), fill: `var(--c${colour})`, "shape-rendering": "crispEdges" }));
    if (!name) return svg;
    let lines = "";
    for (let x = 0; x <= width; x++) lines += `M${x} 0v${height}`;
    for (let y = 0; y <= height; y++) lines += `M0 ${y}h${width}`;
    svg.append(shape("path", { d: lines, class: "lines" }));
    if (digits) rows.forEach((row, y) => [...row].forEach((cell, x) => {
      const label = shape("text", { x: x + .5, y: y + .73, class: DARK_INK.has(+cell) ? "dark" : "" });
      label.textContent = cell;
      svg.append(label);
    }));
    const wrong = right ? differing(rows, rowsOf(right)) : null;
    if (wrong?.length) {
      const d = wrong.map(([x, y]) => `M${x + .22} ${y + .22}l.56 .56m0 -.56l-.56 .56`).join("");
      svg.append(shape("path", { d, class: "mark-under" }), shape("path", { d, class: "mark-over" }));
    }
    return svg;
  }
  /* The cells, as [x, y], in which two grids of one shape differ; null where the shapes do. */
  function differing(rows, right) {
    if (rows.length !== right.length || rows[0].length !== right[0].length) return null;
    const found = [];
    rows.forEach((row, y) => { for (let x = 0; x < row.length; x++) if (row[x] !== right[y][x]) found.push([x, y]); });
    return found;
  }
  /* How a grid compares with the right one, in words. */
  function verdict(text, right) {
    if (right == null) return null;
    const rows = rowsOf(text), wanted = rowsOf(right), wrong = differing(rows, wanted);
    if (wrong === null) return `✕ ${rows.length} by ${rows[0].length} cells, expected ${wanted.length} by ${wanted[0].length}`;
    return wrong.length ? `✕ ${count(wrong.length, "cell")} of ${rows.length * rows[0].length} wrong` : "✓ right";
  }
  function shot(text, side, title, detail, right, frame) {
    const good = right != null && text === right;
    const name = [title, detail].filter(Boolean).join(", ");
    return make("figure", { class: `shot ${frame ? "chosen" : ""} ${frame && good ? "solved" : ""}` },
      make("figcaption", {}, make("b", {}, title), detail ? ` ${detail}` : null), picture(text, side, name, right));
  }
  /* One size of cell for a whole task, so that its grids can be compared by eye. */
  function cellSize(grids, most) {
    const widest = Math.max(...grids.filter(Boolean).map((text) => Math.max(rowsOf(text)[0].length, rowsOf(text).length)));
    return Math.max(5, Math.min(24, most / widest));
  }

  // ---- charts -------------------------------------------------------------------------------------------------------

  function draw(node, series, options) {
    const width = node.clientWidth || 600;
    if (!options.x.ticks) Object.assign(options.x, { type: Chartist.FixedScaleAxis, ticks: ticks(options.x.low, options.x.high, width) });
    const made = new Chartist.LineChart(node, { series: series.map(([className, data]) => ({ className, data })) }, {
      axisX: { showGrid: false, ...options.x },
      axisY: { type: Chartist.AutoScaleAxis, scaleMinSpace: 34, offset: 48, ...options.y },
      chartPadding: { top: 12, right: 24, bottom: 0, left: 0 },
      lineSmooth: options.stepped ? Chartist.Interpolation.step({ postpone: true }) : Chartist.Interpolation.none(),
      showPoint: false, ...options.more,
    });
    made.on("draw", ({ type, index, element }) => { if (type === "line" && series[index][2]) element.attr({ "stroke-dasharray": series[index][2] }); });
    made.on("created", () => {
      const svg = node.querySelector("svg");
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", options.name);
    });
    return made;
  }
  const line = (n, points) => [`s${n % COLOURS}`, xy(points), data.strokes[n]];
  function legend(node, names) {
    names.forEach((name, n) => {
      const key = shape("svg", { class: `key s${n % COLOURS}`, viewBox: "0 0 42 8", "aria-hidden": "true" });
      key.append(shape("path", { d: "M0 4h42", "stroke-dasharray": data.strokes[n] }));
      node.append(make("span", {}, key, name));
    });
  }
  /* Round numbers from `low` to `high`, few enough to be read at this width. */
  function ticks(low, high, width) {
    const rough = (high - low) / Math.max(2, Math.min(8, Math.floor(width / 90))), power = 10 ** Math.floor(Math.log10(rough));
    const by = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough), found = [];
    for (let n = Math.ceil(low / by); n * by <= high * 1.0001; n++) found.push(+(n * by).toPrecision(6));
    return found;
  }
  const xy = (points) => points.map(([x, y]) => ({ x, y }));
  const share = (value) => `${Math.round(100 * value * 10) / 10} %`;
  function overviewCharts() {
    const curves = data.curves;
    if (!curves.length) { $("score-chart").replaceWith(make("p", { class: "unknown" }, "No task has a result yet.")); return; }
    legend($("score-legend"), curves.map((c) => curves.length > 1 && c.stage !== curves[0].stage ? `up to ${c.name}` : c.name));
    const high = Math.max(.05, ...curves.flatMap((c) => c.points.map((p) => p[1])));
    const last = curves.at(-1), end = last.points.at(-1)[0];
    const [unit, word] = end > 7200 ? [3600, "hours"] : end > 300 ? [60, "minutes"] : [1, "seconds"];
    $("score-axis").textContent = `${word} since the start`;
    const said = curves.map((c) => `${c.name}: ${share(c.points.at(-1)[1])}`).join(", ");
    draw($("score-chart"), curves.map((c, n) => line(n, c.points.map(([at, worth]) => [at / unit, worth]))), {
      name: `Line chart over time, at the end ${said}`, stepped: true,
      x: { low: 0, high: Math.max(1, end / unit) }, y: { low: 0, high, labelInterpolationFnc: share },
    });
    if ($("trust-chart")) {
      const points = data.reliability;
      draw($("trust-chart"), [["even", xy([[0, 0], [1, 1]])], ["s0 dots", xy(points)]], {
        name: `Reliability of the vote: ${points.map(([v, r]) => `${share(v)} of the votes, right ${share(r)}`).join("; ")}`,
        x: { low: 0, high: 1, type: Chartist.FixedScaleAxis, ticks: [0, .25, .5, .75, 1], labelInterpolationFnc: share },
        y: { low: 0, high: 1, type: Chartist.FixedScaleAxis, ticks: [0, .25, .5, .75, 1], labelInterpolationFnc: share },
        more: { series: {}, showPoint: true },
      });
    }
  }

  // ---- a task's page ------------------------------------------------------------------------------------------------

  function viewWords([stage, dihedral, colours, order, chance]) {
    const words = [dihedral >= 4 ? (dihedral === 4 ? "transposed" : `transposed, ${TURNS[dihedral - 4]}`) : TURNS[dihedral]];
    const line = [`${percent(chance)} · `];
    const swatches = [];
    if (colours !== "0123456789") {
      words.push("colours");
      const box = make("span", { class: "swatches", role: "img", "aria-label": `0 to 9 become ${[...colours].join(" ")}`, title: `0123456789 become ${colours}` });
      for (const colour of colours) box.append(make("i", { style: `background:var(--c${colour})` }));
      swatches.push(" ", box);
    }
    if (order && order.split(" ").some((at, n) => +at !== n)) words.splice(1, 0, `pairs ${order.split(" ").map((n) => +n + 1).join(" ")}`);
    line.push(words.join(", "), ...swatches, ` (stage ${stage})`);
    return make("li", {}, ...line);
  }
  function candidate(answer, n, test, side) {
    const words = verdict(answer.grid, test.right);
    const chance = answer.chance == null ? "" : ` · probability ${percent(answer.chance)}`;
    const given = test.attempts?.indexOf(answer.grid) ?? -1;
    const rank = given < 0 ? `No. ${n + 1}` : `No. ${n + 1}, attempt ${given + 1}`;
    const views = answer.views.length ? make("details", {}, make("summary", {}, `Found by ${count(answer.views.length, "view")}`),
      make("ol", { tabindex: "0", "aria-label": `Views that found answer ${n + 1}` }, answer.views.map(viewWords))) : answer.programs.length ? null : make("p", { class: "said" }, "made by the vote itself");
    const programs = answer.programs.map(([text, cost, generalises, support]) => make("details", {}, make("summary", {}, generalises == null ? "Program of the code model" : `Program of cost ${cost.toFixed(1)}`),
      make("p", { class: "said" }, make("code", {}, text), make("br"), `${generalises == null ? "reproduces every demonstration" : `right on ${Math.round(100 * generalises)} % of the demonstrations it had not seen`} · ${count(support, "program")} with this answer`)));
    return make("div", { class: `candidate ${answer.right ? "solved" : ""}` },
      make("p", { class: "said" }, make("b", {}, rank), make("br"), `${answer.votes} of ${count(test.votes, "vote")}${chance}`, words ? make("br") : null, words),
      picture(answer.grid, side, `Candidate ${n + 1}${words ? ", " + words.slice(2) : ""}`, test.right), views, programs);
  }
  function attempt(test, n, side) {
    const source = test.sources[n] === "model" ? "" : test.sources[n];
    return shot(test.attempts[n], side, `Attempt ${n + 1}`, [source, verdict(test.attempts[n], test.right)].filter(Boolean).join(" · "), test.right, true);
  }
  function testBlock(task, test, n, side) {
    const title = task.tests.length > 1 ? `Test ${n + 1} of ${task.tests.length}` : "Test";
    const first = make("div", { class: "row" },
      test.input ? shot(test.input, side, "Input", null, null, true) : make("p", { class: "unknown" }, "The input could not be read."),
      test.right ? shot(test.right, side, "Expected", null, null, true) : null,
      test.attempts ? [0, 1].map((k) => attempt(test, k, side)) : make("p", { class: "unknown" }, "No answer is known."));
    const shown = test.top.length < test.distinct ? `the best ${test.top.length} of ${test.distinct}` : count(test.distinct, "answer");
    const small = Math.min(side, cellSize(test.top.map((a) => a.grid), 170));
    return [make("section", { class: "block" }, make("h2", {}, title), first),
      test.top.length ? make("section", { class: "block" },
        make("h2", {}, `Candidates${task.tests.length > 1 ? `, test ${n + 1}` : ""}: ${shown}`),
        make("p", { class: "place" }, "Best first by the run’s vote. Probability: the model’s own, the mean over the views that found the answer."),
        make("div", { class: "candidates" }, test.top.map((answer, k) => candidate(answer, k, test, small)))) : null];
  }
  function stagesTable(task) {
    const parts = [...new Set(task.results.flatMap((result) => Object.keys(result.seconds)))];
    const head = ["stage", "at", ...parts, "steps", "no grid", "device"];
    const cells = (result) => [seconds(result.at), ...parts.map((s) => s in result.seconds ? seconds(result.seconds[s]) : "–"),
      result.planned ? `${result.steps} of ${result.planned}` : "–", result.rejected, result.device || "–"];
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Stages of this task" },
      make("table", {}, make("thead", {}, make("tr", {}, head.map((name) => make("th", { scope: "col" }, name)))),
        make("tbody", {}, task.results.map((result) => make("tr", {}, make("th", { scope: "row" }, result.name), cells(result).map((value) => make("td", {}, String(value))))))));
  }
  function workBlock(task) {
    const trained = task.results.filter((result) => result.losses.length);
    const troubles = [...task.failures.map(([at, stage, why]) => [`failed at ${seconds(at)}, ${stage}: `, why]),
      ...task.results.flatMap((result) => result.notes.map((note) => [`${result.name}: `, note]))];
    const chart = make("div", { class: "chart low" }), key = make("div", { class: "legend" });
    const block = make("section", { class: "block" }, make("h2", {}, "How it was worked on"), make("div", { class: "tables" },
      task.results.length ? make("div", { class: "card" }, make("h3", {}, "Seconds by what they went for"), stagesTable(task)) : null,
      trained.length ? make("figure", { class: "card" }, make("figcaption", {}, make("h3", {}, "Test-time training: loss, nats a token")), key, chart, make("p", { class: "axis" }, "training step")) : null,
      troubles.length ? make("div", { class: "card" }, make("h3", {}, "Failures and notes"), make("ul", { class: "notes" },
        troubles.map(([what, why]) => make("li", {}, make("b", {}, what), why)))) : null,
      task.results.length || troubles.length ? null : make("p", { class: "unknown" }, "The run never came to this task: its answers are placeholders.")));
    const paint = () => {
      if (!trained.length) return;
      legend(key, trained.map((result) => result.name));
      const lines = trained.map((result, n) => line(n, result.losses.map((loss, step) => [step + 1, loss]).filter(([, loss]) => loss != null)));
      const ends = trained.map((result) => `${result.name} from ${result.losses[0]} to ${result.losses.at(-1)} in ${count(result.losses.length, "step")}`);
      draw(chart, lines, { name: `Training loss: ${ends.join("; ")}`, x: { low: 0, high: Math.max(2, ...trained.map((result) => result.losses.length)) }, y: { low: 0, scaleMinSpace: 22 } });
    };
    return [block, paint];
  }
  function page(id) {
    const task = data.tasks[id], shown = visible(), at = shown.findIndex((item) => item.dataset.id === id);
    const every = [...task.pairs.flat(), ...task.tests.flatMap((t) => [t.input, t.right, ...(t.attempts ?? [])])];
    const room = Math.min(260, document.documentElement.clientWidth - 70);
    const side = every.some(Boolean) ? cellSize(every, room) : 10;
    const small = task.pairs.length ? Math.min(side, cellSize(task.pairs.flat(), Math.min(200, room))) : side;
    const [work, paint] = workBlock(task);
    $("task").replaceChildren(
      make("header", { class: "task-head" }, make("h1", {}, id), make("span", { class: "badge" }, sign(task.status), task.status),
        make("span", { class: "place" }, at < 0 ? "not in the list as it is filtered" : `${at + 1} of ${shown.length}`)),
      make("section", {}, make("h2", { class: "hidden" }, "Demonstrations"), task.pairs.length ? make("div", { class: "row" }, task.pairs.map(([input, output], n) =>
        make("div", { class: "pair" }, shot(input, small, `Input ${n + 1}`), make("span", { class: "arrow", "aria-hidden": "true" }, "→"), shot(output, small, `Output ${n + 1}`))))
        : make("p", { class: "unknown" }, "This task’s demonstrations could not be read.")),
      ...task.tests.flatMap((test, n) => testBlock(task, test, n, side)).filter(Boolean), work);
    paint();
  }

  // ---- the list -----------------------------------------------------------------------------------------------------

  const list = $("list"), items = [...list.children];
  const visible = () => [...list.children].filter((item) => !item.hidden);
  let wanted = "";
  function filter() {
    const text = $("find").value.trim().toLowerCase();
    for (const item of items) item.hidden = (wanted && item.dataset.status !== wanted) || !item.dataset.id.toLowerCase().includes(text);
    const n = visible().length;
    $("count").textContent = n === items.length ? count(n, "task") : `${n} of ${count(items.length, "task")}`;
  }
  function sort() {
    const by = $("sort").value, sortKeys = {
      number: (d) => +d.number, id: (d) => d.id, status: (d) => ORDER.indexOf(d.status),
      vote: (d) => -d.vote, cells: (d) => -d.cells, seconds: (d) => -d.seconds,
    }, key = sortKeys[by];
    items.sort((a, b) => { const x = key(a.dataset), y = key(b.dataset); return x < y ? -1 : x > y ? 1 : a.dataset.number - b.dataset.number; });
    list.append(...items);
  }
  /* Thumbnails are drawn when they come into sight. */
  const watcher = new IntersectionObserver((seen) => seen.filter((entry) => entry.isIntersecting).forEach(({ target }) => {
    watcher.unobserve(target);
    const test = data.tasks[target.dataset.id].tests[0], grid = test && (test.attempts?.[0] ?? test.right ?? test.input);
    if (!grid) return;
    const rows = rowsOf(grid);
    target.querySelector(".thumb").append(picture(grid, 38 / Math.max(rows.length, rows[0].length)));
  }), { rootMargin: "300px" });
  items.forEach((item) => watcher.observe(item));

  // ---- moving about -------------------------------------------------------------------------------------------------

  let listAt = 0;
  function route() {
    const id = items.find((item) => item.firstElementChild.hash === location.hash)?.dataset.id ?? null;
    const before = open;
    open = id;
    if (!before && open) listAt = scrollY;
    document.body.classList.toggle("task-open", open !== null);
    $("overview").hidden = open !== null;
    $("task").hidden = open === null;
    document.title = document.title.replace(/^(.* · )?/, open ? `${open} · ` : "");
    for (const item of items) {
      const link = item.firstElementChild, chosen = item.dataset.id === open;
      chosen ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
      if (chosen) item.scrollIntoView({ block: "nearest" });
    }
    $("previous").disabled = $("next").disabled = !visible().length;
    if (open) page(open); else $("task").replaceChildren();
    scrollTo(0, open ? 0 : listAt);
  }
  function step(by) {
    const shown = visible().map((item) => item.dataset.id);
    if (!shown.length) return;
    const at = shown.indexOf(open), next = at < 0 ? (by > 0 ? 0 : shown.length - 1) : Math.min(shown.length - 1, Math.max(0, at + by));
    location.hash = items.find((item) => item.dataset.id === shown[next]).firstElementChild.hash;
  }
  function setDigits(on) {
    digits = $("digits").checked = on;
    try { localStorage.setItem("arc-digits", on ? "1" : "0"); } catch { /* not kept */ }
    if (open) page(open);
  }

  addEventListener("hashchange", route);
  $("find").addEventListener("input", filter);
  $("sort").addEventListener("change", sort);
  $("digits").addEventListener("change", (event) => setDigits(event.target.checked));
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  for (const chip of document.querySelectorAll(".chip")) chip.addEventListener("click", () => {
    wanted = chip.dataset.status;
    for (const other of document.querySelectorAll(".chip")) other.setAttribute("aria-pressed", other === chip);
    filter();
  });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest?.("input[type=search], select");
    if (event.key === "Escape") { if (typing) event.target.blur(); else location.hash = ""; return; }
    if (typing) return;
    const act = { j: () => step(1), ArrowRight: () => step(1), k: () => step(-1), ArrowLeft: () => step(-1), d: () => setDigits(!digits), "/": () => $("find").focus() }[event.key];
    if (act && !(event.key.startsWith("Arrow") && event.target.closest?.(".scroll"))) { event.preventDefault(); act(); }
  });

  $("digits").checked = digits;
  overviewCharts();
  filter();
  route();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})();
