// Opens the report of a document full of markup: markup_page.mjs PLAYWRIGHT PAGE
import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [playwright, file] = process.argv.slice(2);
const { chromium } = await import(pathToFileURL(join(resolve(playwright), "index.mjs")));
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const page = await browser.newPage();
const complaints = [];
page.on("pageerror", (error) => complaints.push(error.message));
page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
await page.goto(pathToFileURL(resolve(file)).href);
await page.waitForSelector("html[data-ready]");
const drawn = await page.locator("#figure-0-tokens svg .mark-text text")
  .evaluateAll((texts) => texts.map((text) => text.textContent).join(""));
for (const part of ["</script>", "<script>window.ran", "onerror=", "<b>bold</b>", "&amp;"]) {
  assert.ok(drawn.includes(part), `the tokens do not show ${part}: ${drawn.slice(0, 200)}`);
}
assert.ok((await page.title()).includes("<i>markup<i>.txt"));
assert.ok((await page.locator("h1").textContent()).includes("<i>markup<i>.txt"));
assert.equal(await page.locator("body img, body b, body i").count(), 0);
assert.equal(await page.evaluate(() => window.ranText), undefined);
assert.deepEqual(complaints, []);
await browser.close();
console.log("markup: shown as text");
