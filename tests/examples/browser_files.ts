/**
 * The example page, bundled with our package as it is installed.
 *
 * @module
 */
import type { PageFile } from "../tools/browser.ts";
import { bundleApp, installedApp } from "../tools/tools.ts";

const example = new URL("../../examples/browser/", import.meta.url);

/** Its files by path. The scripts lie where our package has its own, as the kernels are named relative to those. */
export async function browserExample(): Promise<Record<string, PageFile>> {
  const app = await installedApp();
  const script = async (name: string) => ({
    text: await bundleApp(new URL(name, example), ["browser"]),
    type: "text/javascript",
  });
  const kernel = (name: string) => new URL(`node_modules/@locket/locket/src/kernels/wasm/${name}.wasm`, app);
  const page = await Deno.readTextFile(new URL("index.html", example));
  return {
    "/": { text: page.replace('src="page.js"', 'src="/src/entry/page.js"'), type: "text/html" },
    "/style.css": new URL("style.css", example),
    "/src/entry/page.js": await script("page.js"),
    "/src/entry/worker.js": await script("worker.js"),
    "/src/kernels/wasm/simd128.wasm": kernel("simd128"),
    "/src/kernels/wasm/relaxed.wasm": kernel("relaxed"),
    "/model.gguf": new URL("../../models/locket-books-q8_0.gguf", import.meta.url),
  };
}
