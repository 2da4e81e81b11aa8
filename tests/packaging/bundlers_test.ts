/** Bundlers that do not bring the binaries along by themselves. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { installedApp, output, tool } from "../tools/tools.ts";

const node = await tool("node");
const esbuild = new URL("../tools/node_modules/esbuild-wasm/bin/esbuild", import.meta.url).pathname;

Deno.test({
  name: "the guide's lines for esbuild bundle for a browser, with both binaries",
  ignore: node === undefined,
  async fn() {
    const guide = await Deno.readTextFile(new URL("../../docs/edge.md", import.meta.url));
    const [, program] = /esbuild does not[^`]*[^]*?```js ignore\n([^]*?)```/.exec(guide)!;
    const app = await installedApp();
    await Deno.writeTextFile(new URL("esbuild.js", app), program);
    const options = ["--bundle", "--format=esm", "--loader:.wasm=file", "--outdir=esbuilt"];
    await output([node!, esbuild, "esbuild.js", ...options], { cwd: app });
    const built = [...Deno.readDirSync(new URL("esbuilt/", app))].map(({ name }) => name);
    const script = await Deno.readTextFile(new URL("esbuilt/esbuild.js", app));
    for (const binary of ["simd128", "relaxed"]) {
      const name = built.find((name) => name.startsWith(`${binary}-`));
      assert(name !== undefined && script.includes(`"./${name}"`), built.join());
      const source = new URL(`node_modules/@locket/locket/src/kernels/wasm/${binary}.wasm`, app);
      assertEquals(await Deno.readFile(new URL(`esbuilt/${name}`, app)), await Deno.readFile(source));
    }
  },
});

Deno.test({
  name: "a binary that is not beside the code is asked for by its address, with what to do",
  ignore: node === undefined,
  async fn() {
    const app = await installedApp();
    const script = `import { loadModel } from "@locket/locket";
      await loadModel(process.argv[2]).catch(({ message }) => console.log(message));`;
    await Deno.writeTextFile(new URL("moved.mjs", app), script);
    const options = ["--bundle", "--format=esm", "--platform=node", "--outfile=moved/app.mjs"];
    await output([node!, esbuild, "moved.mjs", ...options], { cwd: app });
    const model = new URL("../../models/locket-books-q8_0.gguf", import.meta.url).pathname;
    const said = await output([node!, "moved/app.mjs", model], { cwd: app });
    assertMatch(
      said,
      /^load: relaxed\.wasm can't be read from file:\S*\/relaxed\.wasm: ENOENT.*@locket\/locket\/manual/,
    );
  },
});
