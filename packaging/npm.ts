/**
 * Builds the npm package from the same sources into `dist/npm/`: one bundle an entry point with what they share in
 * chunks, the two kernel binaries as they are, and types. Third-party modules stay imports and become dependencies.
 *
 *   deno task build:npm
 */
import { parseArgs } from "@std/cli/parse-args";
import { bundle } from "./bundle.ts";
import { declarations } from "./declarations.ts";
import { dependencies } from "./import_map.ts";
import { commandLine } from "../bench/usage.ts";

parseArgs(Deno.args, { unknown: commandLine(import.meta.url).unknown });

const root = new URL("../", import.meta.url);
const out = new URL("dist/npm/", root);

const config = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
const { name, version, license } = config;

/** Subpaths that are the same for Deno's registries and npm's; the main entry is each host's own. */
const SUBPATHS = Object.entries(config.exports as Record<string, string>).filter(([path]) => path !== ".");
const RAW = SUBPATHS.map(([, source]) => source.slice(2)).filter((source) => source.endsWith(".wasm"));
const ENTRIES = new Set(
  SUBPATHS.map(([, source]) => source.slice(2)).filter((source) => source.endsWith(".ts")),
);

/** Written by wasm-bindgen, so the compiler does not emit it. */
const KERNEL_TYPES = "src/kernels/wasm/kernels.d.ts";

const file = (entry: string) => `./src/entry/${entry}.js`;
const types = (entry: string) => `./src/entry/${entry}.d.ts`;
/** Where a source ends up: binaries stay as they are. */
const subpath = (source: string) =>
  source.endsWith(".wasm")
    ? source
    : { types: source.replace(/ts$/, "d.ts"), default: source.replace(/ts$/, "js") };

/** The entry point of a host, with the types that it has there. */
const host = (entry: string) => ({ types: types(entry), default: file(entry) });

/**
 * First match wins, so hosts that also match `node` or `browser` stand before those. A compiler that has not been told the
 * host (by `customConditions`) gets the types that all of them have in common with Node.
 */
const exports = {
  ".": {
    workerd: host("workers"),
    "edge-light": host("workers"),
    deno: host("deno"),
    bun: host("node"),
    node: host("node"),
    browser: host("browser"),
    types: types("node"),
    default: host("manual"),
  },
  ...Object.fromEntries(SUBPATHS.map(([path, source]) => [path, subpath(source)])),
};

await Deno.remove(out, { recursive: true }).catch(() => {});
const entries = [...ENTRIES];
const files = await bundle(root, entries);
files.push(...declarations(root, entries));
const encoder = new TextEncoder();
for (const path of [...RAW, KERNEL_TYPES, "README.md", "LICENSE"]) {
  files.push({ path, bytes: await Deno.readFile(new URL(path, root)) });
}
files.push({
  path: "package.json",
  bytes: encoder.encode(JSON.stringify(
    {
      name,
      version,
      license,
      description: "Language models from GGUF files in WebAssembly, in memory that is fixed beforehand",
      type: "module",
      sideEffects: false,
      engines: { node: ">=22" },
      exports,
      dependencies: await dependencies(root, files.map(({ path, bytes }) => ({ path, bytes }))),
    },
    null,
    2,
  )),
});
for (const { path, bytes } of files) {
  const url = new URL(path, out);
  await Deno.mkdir(new URL(".", url), { recursive: true });
  await Deno.writeFile(url, bytes);
}
const total = files.reduce((sum, { bytes }) => sum + bytes.length, 0);
console.log(`dist/npm: ${files.length} files, ${(total / 1e3).toFixed(0)} kB`);
