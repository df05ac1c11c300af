// Opens a report in Debian's chromium and looks at everything in it that a person would.
//   report_page.mjs PLAYWRIGHT RUN_DIR SCREENSHOTS LARGE_RUN
// RUN_DIR holds report.html and heads.csv of a run with the theory; pictures go to SCREENSHOTS.
// LARGE_RUN, the same of many heads, is opened too, to say how long that takes.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [playwright, runDirectory, screenshots, largeRun] = process.argv.slice(2);
const { chromium } = await import(pathToFileURL(join(resolve(playwright), "index.mjs")));
const profile = mkdtempSync(join(tmpdir(), "toplens-chromium-"));
mkdirSync(screenshots, { recursive: true });

const browser = await chromium.launchPersistentContext(profile, {
  executablePath: "/usr/bin/chromium",
  headless: true,
  acceptDownloads: true,
  viewport: { width: 1280, height: 900 },
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

const complaints = [];
const newPage = async () => {
  const page = await browser.newPage();
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`exception: ${error.message}`));
  page.on("request", (request) => {
    if (!/^(file|data|blob):/.test(request.url())) complaints.push(`request: ${request.url()}`);
  });
  return page;
};
const open = async (page, file, fragment = "") => {
  await page.goto("about:blank");
  await page.goto(pathToFileURL(resolve(file)) + fragment);
  await page.waitForSelector("html[data-ready]", { timeout: 60000 });
};
// Runs `change` and waits until the page has drawn what follows from it.
const redrawn = async (page, change) => {
  const before = await page.evaluate(() => Number(document.documentElement.dataset.drawn ?? 0));
  await change();
  await page.waitForFunction((count) => Number(document.documentElement.dataset.drawn) > count, before);
};
const marks = (page, id) => page.locator(`#figure-0-${id} svg`).evaluate((svg) =>
  svg.querySelectorAll(".mark-rect path, .mark-symbol path, .mark-line path, .mark-area path, .mark-text text").length);
const drawing = (page, id) => page.locator(`#figure-0-${id} svg`).evaluate((svg) => svg.outerHTML);

const parseCsv = (text) => {
  const rows = [[""]];
  let quoted = false;
  for (let i = 0; i < text.length; ++i) {
    const c = text[i];
    if (quoted && c === '"' && text[i + 1] === '"') { rows.at(-1)[rows.at(-1).length - 1] += c; ++i; }
    else if (c === '"') quoted = !quoted;
    else if (!quoted && c === ",") rows.at(-1).push("");
    else if (!quoted && c === "\n") rows.push([""]);
    else rows.at(-1)[rows.at(-1).length - 1] += c;
  }
  const [names, ...lines] = rows.filter((row) => row.length > 1 || row[0] !== "");
  return lines.map((line) => Object.fromEntries(names.map((name, i) => [name, line[i]])));
};

const readHeads = (directory) => parseCsv(readFileSync(join(directory, "heads.csv"), "utf8"));

// Chromium under automation drops about one download in fifty that follow each other at once: again then.
const download = async (page, id, format) => {
  for (let attempt = 1; ; ++attempt) {
    const waiting = page.waitForEvent("download", { timeout: 5000 }).catch((error) => {
      if (attempt === 4) throw error;
      return null;
    });
    await page.locator(`#figure-0-${id} button`, { hasText: format }).click();
    const got = await waiting;
    if (got === null) continue;
    const path = await got.path();
    return { name: got.suggestedFilename(), size: statSync(path).size, path };
  }
};

const page = await newPage();
const report = join(runDirectory, "report.html");
await open(page, report);
const ids = await page.locator("figure").evaluateAll((figures) => figures.map((figure) => figure.id.split("-").slice(2).join("-")));
console.log(`figures: ${ids.join(", ")}`);
for (const id of ["map", "curves", "regimes", "sink", "critical_size", "loss", "budget", "norms", "similarity",
  "profile", "tokens"]) {
  assert.ok(ids.includes(id), `figure ${id} is missing`);
}

// Every figure is drawn, named, and described.
const heads = readHeads(runDirectory);
for (const id of ids) {
  const count = await marks(page, id);
  assert.ok(count > 0, `figure ${id} has no marks`);
  assert.ok((await page.locator(`#figure-0-${id} h3`).textContent()).length > 10, `figure ${id} has no finding`);
  assert.ok((await page.locator(`#figure-0-${id} .drawing`).getAttribute("aria-label")).length > 30, `figure ${id} has no alt text`);
  console.log(`  ${id}: ${count} marks; ${await page.locator(`#figure-0-${id} h3`).textContent()}`);
}
const cells = await page.locator("#figure-0-map svg .mark-rect path[aria-label]").count();
assert.ok(cells >= heads.length, `the map shows ${cells} cells of ${heads.length} heads`);

// Downloads: not empty, and the numbers of heads.csv.
const sizes = [...new Set(Object.keys(heads[0]).map((name) => /^f_score_attention_euclidean_(\d+)$/.exec(name)?.[1]).filter(Boolean))];
for (const id of ids) {
  for (const format of ["SVG", "PNG", "CSV"]) {
    const file = await download(page, id, format);
    assert.ok(file.size > (format === "CSV" ? 20 : 1000), `${file.name}: ${file.size} bytes`);
    if (format === "SVG") assert.match(readFileSync(file.path, "utf8"), /^<svg/);
    if (format === "PNG") assert.equal(readFileSync(file.path).subarray(1, 4).toString(), "PNG");
  }
}
const same = (cell, expected, what) => {
  if (cell === "" || expected === "") return assert.equal(cell, expected, what);
  return assert.equal(Number(cell), Number(expected), what);
};
const map = parseCsv(readFileSync((await download(page, "map", "CSV")).path, "utf8"));
assert.equal(map.length, heads.length);
for (const [i, row] of map.entries()) {
  assert.equal(Number(row.layer), Number(heads[i].layer));
  assert.equal(Number(row.head), Number(heads[i].head));
  same(row.value, heads[i][`f_score_attention_euclidean_${row.set_size}`], `map, row ${i}`);
}
const checkCurves = async (page, heads, layer, head) => {
  const rows = parseCsv(readFileSync((await download(page, "curves", "CSV")).path, "utf8"));
  const expected = heads.find((row) => Number(row.layer) === layer && Number(row.head) === head);
  assert.equal(rows.length, 3 * sizes.length);
  for (const row of rows) {
    const metric = { "precision P": "precision", "recall R": "recall", "F-score": "f_score" }[row.metric];
    same(row.measured, expected[`${metric}_attention_euclidean_${row.set_size}`], `${metric} at ${row.set_size}`);
    same(row.random, expected[`${metric}_random_euclidean_${row.set_size}`], `random ${metric} at ${row.set_size}`);
    if (metric === "f_score") {
      same(row.measured_low, expected[`f_score_low_attention_euclidean_${row.set_size}`], "interval");
      const predicted = expected[`predicted_f_score_attention_${row.set_size}`];
      if (predicted !== undefined) same(row.predicted, predicted, "prediction");
    }
  }
};

// Clicking a head drives the other figures; so do the keyboard and the address.
const linked = ["curves", "norms", "similarity", "profile", "tokens"];
const drawings = async () => Object.fromEntries(await Promise.all(linked.map(async (id) => [id, await drawing(page, id)])));
const click = async (layer, head) => redrawn(page, () =>
  page.locator(`#figure-0-map svg .mark-rect path[aria-label*="layer: ${layer};"][aria-label*="head: ${head};"]`).last().click({ force: true }));
const before = await drawings();
await click(3, 4);
assert.match(page.url(), /head=3\.4/);
assert.equal(await page.locator("#head-heading").textContent(), "Head 3.4");
const after = await drawings();
for (const id of linked) assert.notEqual(after[id], before[id], `figure ${id} does not follow the chosen head`);
await checkCurves(page, heads, 3, 4);
await page.locator("#figure-0-map .drawing").focus();
await redrawn(page, () => page.keyboard.press("ArrowRight"));
assert.match(page.url(), /head=3\.5/);
await checkCurves(page, heads, 3, 5);
const regime = await page.locator("#quantity option").evaluateAll((options) => options.map((option) => option.value));
for (const quantity of ["recall", "sink_similarity", regime.includes("regime_name") ? "regime_name" : "precision"]) {
  const old = await drawing(page, "map");
  await redrawn(page, () => page.locator("#quantity").selectOption(quantity));
  assert.notEqual(await drawing(page, "map"), old, `the map does not follow ${quantity}`);
}
await redrawn(page, () => page.locator("#size").selectOption("4"));
assert.match(await page.locator("#figure-0-sink h3").textContent(), /N = 4/);
// The correlations of the terminal's table and theory.json.
const theory = JSON.parse(readFileSync(join(runDirectory, "theory.json"), "utf8"));
const correlations = theory.rankings[0].sink_similarity_with_recall.find((row) => row.set_size === 4);
const note = await page.locator("#figure-0-sink .note").textContent();
assert.ok(note.includes(`all heads ${correlations.all_heads.value.toFixed(2)} (95% interval `
  + `${correlations.all_heads.interval[0].toFixed(2)} to ${correlations.all_heads.interval[1].toFixed(2)}) over ${correlations.all_heads.heads} head`), note);
assert.match(note, new RegExp(`sink selected [^;]*over ${correlations.sink_selected.heads} head`));
await open(page, report, "#head=2.1&n=2&map=recall");
assert.equal(await page.locator("#head").inputValue(), "2.1");
assert.equal(await page.locator("#size").inputValue(), "2");
assert.equal(await page.locator("#quantity").inputValue(), "recall");
await checkCurves(page, heads, 2, 1);

// Both themes and both widths, without a horizontal scroll bar.
const colours = {};
for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 390]) {
    await page.setViewportSize({ width, height: 900 });
    await page.emulateMedia({ colorScheme });
    await open(page, report);
    const [wide, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    assert.ok(wide <= seen, `${wide} pixels wide in a window of ${seen}`);
    for (const id of ids) {
      const box = await page.locator(`#figure-0-${id} svg`).boundingBox();
      assert.ok(box.x >= 0 && box.x + box.width <= width + 1, `figure ${id} leaves the page of ${width} pixels`);
    }
    colours[colorScheme] = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    await page.screenshot({ path: join(screenshots, `page-${width}-${colorScheme}.png`), fullPage: true });
    await page.screenshot({ path: join(screenshots, `top-${width}-${colorScheme}.png`) });
  }
}
assert.notEqual(colours.light, colours.dark);
await page.setViewportSize({ width: 1280, height: 900 });
await page.emulateMedia({ colorScheme: "dark" });
await open(page, report);
const darkMap = await drawing(page, "map");
await redrawn(page, () => page.emulateMedia({ colorScheme: "light" }));
assert.notEqual(await drawing(page, "map"), darkMap, "the figures do not follow the theme");
for (const id of ids) await page.locator(`#figure-0-${id}`).screenshot({ path: join(screenshots, `figure-${id}.png`) });

// No script of a document's text ran, and all of it is there as text.
assert.equal(await page.evaluate(() => window.ranText), undefined);

const large = await newPage();
const largePage = join(largeRun, "report.html");
const start = Date.now();
await open(large, largePage);
const ready = await large.evaluate(() => performance.getEntriesByName("report-ready")[0].startTime);
console.log(`1024 heads, 9 sizes: ${(statSync(largePage).size / 1e6).toFixed(1)} MB, interactive and drawn `
  + `${(ready / 1000).toFixed(2)} s after it was opened (${((Date.now() - start) / 1000).toFixed(2)} s as the test sees it)`);
const moment = Date.now();
await redrawn(large, () => large.locator("#head").selectOption("17.3"));
console.log(`1024 heads: another head chosen and drawn in ${((Date.now() - moment) / 1000).toFixed(2)} s`);
await checkCurves(large, readHeads(largeRun), 17, 3);
await large.screenshot({ path: join(screenshots, "large.png"), fullPage: true });

await browser.close();
rmSync(profile, { recursive: true, force: true });
assert.deepEqual(complaints, []);
console.log("browser: fine");
