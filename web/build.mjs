// `node build.mjs`: two pages' scripts and style sheets into the package; `node build.mjs page FOLDER`: elsewhere.
// `node build.mjs test`: bundle the tests and run them.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ASSETS = process.argv[3] ?? "../src/gradpath/report/assets";
const COMMON = {
  bundle: true,
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  charset: "utf8",
  legalComments: "none", // the licences stand in THIRD_PARTY_NOTICES.txt
  logLevel: "warning",
};

/** The licence texts of what is bundled, in one file beside the build. */
function notices() {
  const names = Object.keys(JSON.parse(readFileSync("package-lock.json", "utf8")).packages)
    .filter((path) => path && !JSON.parse(readFileSync("package-lock.json", "utf8")).packages[path].dev)
    .sort();
  const texts = names.map((path) => {
    const { name, version, license } = JSON.parse(readFileSync(join(path, "package.json"), "utf8"));
    const file = readdirSync(path).find((entry) => /^licen[cs]e/i.test(entry));
    return `${name} ${version} (${license})\n\n${file ? readFileSync(join(path, file), "utf8").trim() : license}\n`;
  });
  return `What the page's scripts contain besides gradpath's own code.\n\n${texts.join("\n----\n\n")}`;
}

async function page() {
  await build({
    ...COMMON,
    entryPoints: ["explain", "report"].flatMap((out) => [
      { in: `src/${out}/main.tsx`, out },
      { in: `src/style/pages/${out}.css`, out },
    ]),
    outdir: ASSETS,
    minify: true,
    format: "iife",
  });
  writeFileSync(join(ASSETS, "THIRD_PARTY_NOTICES.txt"), notices());
}

async function test() {
  const folder = mkdtempSync(join(tmpdir(), "gradpath-web-"));
  try {
    const entryPoints = readdirSync("test").filter((file) => file.endsWith(".test.ts")).map((file) => join("test", file));
    await build({ ...COMMON, entryPoints, outdir: folder, outExtension: { ".js": ".mjs" }, platform: "node", format: "esm" });
    const files = readdirSync(folder).filter((file) => file.endsWith(".mjs")).map((file) => join(folder, file));
    process.exitCode = spawnSync(process.execPath, ["--test", ...files], { stdio: "inherit" }).status ?? 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

await (process.argv[2] === "test" ? test() : page());
