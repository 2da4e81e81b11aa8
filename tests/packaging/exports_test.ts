/**
 * The subpaths of the package: the same for npm and for Deno's registries, found by every runtime, run by none.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { installedApp, output, run, tool } from "../tools/tools.ts";

const SUBPATHS = Object.keys(config.exports).filter((path) => path !== ".");
const node = await tool("node");

const packageOf = (app: URL) => new URL("node_modules/@locket/locket/", app);

async function npmExports(app: URL): Promise<Record<string, string | Record<string, string>>> {
  return JSON.parse(await Deno.readTextFile(new URL("package.json", packageOf(app)))).exports;
}

Deno.test("the npm package has every subpath of deno.json, each with its files", async () => {
  const app = await installedApp();
  const exports = await npmExports(app);
  assertEquals(Object.keys(exports).sort(), [".", ...SUBPATHS].sort());
  const files = (target: object | string): string[] =>
    typeof target === "string" ? [target] : Object.values(target).flatMap(files);
  for (const file of files(exports)) {
    assert((await Deno.stat(new URL(file, packageOf(app)))).isFile, file);
  }
  for (const wanted of ["./workerd", "./deno", "./node", "./browser", "./manual", "./server"]) {
    assert(wanted in exports, wanted);
  }
});

Deno.test("hosts that also match node or browser come before those, and the default last", async () => {
  const conditions = Object.keys((await npmExports(await installedApp()))["."]);
  // types without a host are for compilers that were told none
  assertEquals(conditions.slice(-2), ["types", "default"]);
  const general = Math.min(conditions.indexOf("node"), conditions.indexOf("browser"));
  for (const host of ["workerd", "edge-light", "deno", "bun"]) {
    assert(conditions.includes(host) && conditions.indexOf(host) < general, host);
  }
});

Deno.test("the raw binaries of the npm package are modules without imports", async () => {
  const app = await installedApp();
  const exports = await npmExports(app);
  for (const path of ["./simd128.wasm", "./relaxed.wasm"]) {
    const bytes = await Deno.readFile(new URL(exports[path] as string, packageOf(app)));
    assertEquals(WebAssembly.Module.imports(await WebAssembly.compile(bytes)), []);
  }
});

/** Imports every subpath that needs no bundler; nothing may be asked of the host. */
const IMPORT_ALL = `
const refuse = (name) => () => { throw new Error(name + " at import time"); };
globalThis.fetch = refuse("fetch");
for (const name of ["setTimeout", "setInterval"]) globalThis[name] = refuse(name);
Math.random = crypto.getRandomValues = refuse("randomness");
WebAssembly.compile = WebAssembly.instantiate = refuse("WebAssembly");
const names = {};
for (const path of process.argv[2].split(",")) {
  names[path] = Object.keys(await import("@locket/locket" + path.slice(1))).length;
}
console.log(JSON.stringify(names));
`;

Deno.test({
  name: "every subpath is imported by Node without a side effect",
  ignore: node === undefined,
  async fn() {
    const app = await installedApp();
    await Deno.writeTextFile(new URL("import_all.mjs", app), IMPORT_ALL);
    // wasm imports are modules of Workers
    const paths = [".", ...SUBPATHS].filter((path) => !/wasm$|work/.test(path));
    const names = JSON.parse(await output([node!, "import_all.mjs", paths.join()], { cwd: app }));
    assertEquals(Object.keys(names), paths);
    for (const [path, n] of Object.entries(names)) assert(n as number > 0, `${path} exports nothing`);
  },
});

Deno.test("no line of the bundles fills a screen when Node shows where an error was thrown", async () => {
  const chunks = new URL("src/chunks/", packageOf(await installedApp()));
  for await (const { name } of Deno.readDir(chunks)) {
    const text = await Deno.readTextFile(new URL(name, chunks));
    const longest = Math.max(...text.split("\n").map((line) => line.length));
    assert(longest < 4000, `${name} has a line of ${longest} characters`);
  }
});

const installed = (await run(["node", "--version"])).stdout;
const old = /^v(1\d|20|21)\./.test(installed);
if (!old) console.warn("SKIPPED: the machine's own Node is not older than 22");

Deno.test({
  name: "a Node that is too old is told so",
  ignore: !old,
  async fn() {
    const app = await installedApp();
    const script = `import { loadModel } from "@locket/locket";
      await loadModel("x.gguf").catch(({ name, message }) => console.log(name, message));`;
    await Deno.writeTextFile(new URL("old_node.mjs", app), script);
    const said = await output(["node", "old_node.mjs"], { cwd: app });
    assertEquals(said, `OptionError Node is "${installed.trim().slice(1)}", wanted 22 or later\n`);
  },
});

Deno.test("deno publish --dry-run passes, with the sources and binaries and nothing else", async () => {
  const root = new URL("../../", import.meta.url);
  const command = new Deno.Command(Deno.execPath(), {
    args: ["publish", "--dry-run", "--allow-dirty"],
    cwd: root,
    env: { NO_COLOR: "1" },
  });
  const { success, stdout, stderr } = await command.output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert(success, text);
  assert(!/warning/i.test(text), text);
  const files = [...text.matchAll(/^\s+file:\S+?\/([^\s]+) \(/gm)].map(([line]) =>
    line.trim().split(" ")[0].slice(root.href.length)
  );
  for (const file of ["mod.ts", "src/kernels/wasm/simd128.wasm", "src/kernels/wasm/relaxed.wasm"]) {
    assert(files.includes(file), `${file} is missing`);
  }
  const strange = files.filter((file) =>
    !/^(src\/|mod\.ts|deno\.json|import_map\.json|README|LICENSE)/.test(file)
  );
  assertEquals(strange, []);
});
