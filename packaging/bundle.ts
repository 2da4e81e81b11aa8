/**
 * Bundles with esbuild, in WebAssembly and inside this process.
 *
 * @module
 */
import * as esbuild from "esbuild-wasm";
import { npmSpecifier } from "./import_map.ts";

/** A file to be written, its path from the root. */
export interface OutputFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** Characters of a line, about. */
const MOST_LINE = 200;

/** One ES module an entry, in the place of its source; what several share lies in `src/chunks/`. */
export async function bundle(root: URL, entries: readonly string[]): Promise<OutputFile[]> {
  const wasm = new URL(import.meta.resolve("esbuild-wasm").replace("esm/browser.js", "esbuild.wasm"));
  await esbuild.initialize({
    wasmModule: await WebAssembly.compile(await Deno.readFile(wasm)),
    worker: false,
  });
  try {
    const { outputFiles } = await esbuild.build({
      entryPoints: [...entries],
      entryNames: "src/entry/[name]",
      chunkNames: "src/chunks/[hash]",
      outdir: "/",
      bundle: true,
      splitting: true,
      format: "esm",
      target: "es2022",
      // without comments: one letter beyond Latin-1 doubles what V8 holds of a script
      minifyWhitespace: true,
      // Node prints the line in which an error that nobody caught was thrown
      lineLimit: MOST_LINE,
      write: false,
      plugins: [fromImportMap(root)],
    });
    return outputFiles.map(({ path, contents }) => ({
      path: path.slice(1),
      bytes: contents,
    }));
  } finally {
    await esbuild.stop();
  }
}

/** Finds sources by their path from the root; other packages and `.wasm` files stay imports. */
const fromImportMap = (root: URL): esbuild.Plugin => ({
  name: "import map",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /.*/ }, async ({ path, importer, kind }) => {
      if (kind === "entry-point") return { path, namespace: "locket" };
      if (path.endsWith(".wasm")) return { path, external: true };
      if (path.startsWith(".")) {
        const url = new URL(path, new URL(importer, root));
        return { path: url.href.slice(root.href.length), namespace: "locket" };
      }
      return {
        path: await npmSpecifier(root, path),
        external: true,
        sideEffects: false,
      };
    });
    onLoad({ filter: /.*/, namespace: "locket" }, async ({ path }) => ({
      contents: await Deno.readTextFile(new URL(path, root)),
      loader: path.endsWith(".js") ? "js" : "ts",
    }));
  },
});
