// Puts the page together: assemble.mjs NODE_MODULES OUTPUT
// template.html's marks @STYLE@, @LIBRARIES@, @FIGURES@ and @SCRIPT@ are replaced; @REPORT_TITLE@ and
// @REPORT_DATA@ stay for toplens.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const [modules, output] = process.argv.slice(2);
if (!output) {
  console.error("usage: assemble.mjs NODE_MODULES OUTPUT");
  process.exit(2);
}
const here = dirname(fileURLToPath(import.meta.url));
const read = (...path) => readFileSync(join(...path), "utf8");

// Inside <script> only this sequence ends the element; in a JavaScript string or regular expression
// the backslash changes nothing.
const inScript = (text) => text.replaceAll(/<\/(script)/gi, "<\\/$1").replaceAll("<!--", "<\\!--");

const libraries = ["vega", "vega-lite", "vega-embed"].map((name) => {
  const { version } = JSON.parse(read(modules, name, "package.json"));
  const licence = read(modules, name, "LICENSE").replaceAll("*/", "* /");
  const code = read(modules, name, "build", `${name}.min.js`).replace(/\n?\/\/# sourceMappingURL=.*/, "");
  return `<script>/* ${name} ${version}\n${licence}*/\n${inScript(code)}</script>`;
});

const documents = (folder, suffix) =>
  Object.fromEntries(
    readdirSync(join(here, folder))
      .filter((name) => name.endsWith(suffix))
      .sort()
      .map((name) => [basename(name, suffix), JSON.parse(read(here, folder, name))]),
  );
const figures = { figures: documents("figures", ".vl.json"), themes: documents("themes", ".json") };

const parts = {
  "@STYLE@": read(here, "report.css"),
  "@LIBRARIES@": libraries.join("\n"),
  "@FIGURES@": JSON.stringify(figures).replaceAll("<", "\\u003c"),
  "@SCRIPT@": inScript(read(here, "report.js")),
};
let page = read(here, "template.html");
for (const [mark, text] of Object.entries(parts)) {
  if (!page.includes(mark)) throw new Error(`template.html has no ${mark}`);
  page = page.replace(mark, () => text);
}
writeFileSync(output, page);
