/**
 * Keeps the house in order: no import cycle under `src/`, each layer only imports layers below it, and host globals
 * (`Deno`, `process`, `document`) stay in `src/runtime/` and `src/cli/`. Exits with 1 and one line per fault.
 *
 *   deno task check:imports
 */
const root = new URL("../", import.meta.url);

/** Layers from the bottom up; a file may import from its own layer and from those before it. */
const LAYERS = [
  ["byte_units.ts", "count.ts", "error.ts", "hparams.ts", "turn.ts"],
  ["gguf"],
  ["memory"],
  ["kernels"],
  ["cache"],
  ["tokenizer", "sample"],
  ["structured"],
  ["snapshot"],
  ["model"],
  ["calibrate"],
  ["generate.ts", "generate"],
  ["session"],
  ["runtime", "stores"],
  ["server"],
  ["entry"],
  ["cli"],
];
const HOST_GLOBAL = /\b(?:Deno|process|document|location|navigator)\.\w/;
const MAY_NAME_HOST = ["runtime", "cli"];

const layerOf = (path: string) => LAYERS.findIndex((layer) => layer.includes(path.split("/")[1]));

async function* sources(folder: URL): AsyncGenerator<URL> {
  for await (const entry of Deno.readDir(folder)) {
    const url = new URL(entry.name + (entry.isDirectory ? "/" : ""), folder);
    if (entry.isDirectory) yield* sources(url);
    else if (entry.name.endsWith(".ts") && !entry.name.endsWith(".d.ts")) yield url;
  }
}

/** Code without comments, so that an example in a docstring counts for nothing. */
const withoutComments = (text: string) => text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");

const faults: string[] = [];
const imports = new Map<string, string[]>();
for await (const url of sources(new URL("src/", root))) {
  const path = url.pathname.slice(root.pathname.length);
  const code = withoutComments(await Deno.readTextFile(url));
  const targets = [...code.matchAll(/(?:from|import)\s*\(?\s*"(\.{1,2}\/[^"]+)"/g)]
    .map((match) => new URL(match[1], url).pathname.slice(root.pathname.length))
    .filter((target) => target.endsWith(".ts"));
  imports.set(path, targets);
  if (layerOf(path) < 0) {
    faults.push(`${path}: its folder is in no layer; add it to LAYERS in tests/import_graph.ts`);
  }
  for (const target of targets) {
    if (layerOf(target) > layerOf(path)) faults.push(`${path} imports ${target}, which is a layer above it`);
  }
  if (HOST_GLOBAL.test(code) && !MAY_NAME_HOST.includes(path.split("/")[1])) {
    faults.push(`${path} names a host global (${code.match(HOST_GLOBAL)![0]}…); only ${MAY_NAME_HOST} may`);
  }
}

const state = new Map<string, "open" | "done">();
function visit(path: string, trail: string[]): void {
  if (state.get(path) === "done") return;
  if (state.get(path) === "open") {
    faults.push(`import cycle: ${[...trail.slice(trail.indexOf(path)), path].join(" -> ")}`);
    return;
  }
  state.set(path, "open");
  for (const target of imports.get(path) ?? []) visit(target, [...trail, path]);
  state.set(path, "done");
}
for (const path of imports.keys()) visit(path, []);

for (const fault of faults) console.error(fault);
console.log(`${imports.size} files, ${faults.length} faults`);
if (faults.length > 0) Deno.exit(1);
