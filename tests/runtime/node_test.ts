/**
 * The same sources in Node, from a bundle as an application would make it.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { GgmlType } from "../../src/gguf/mod.ts";
import { tensorData, writeGguf, type WriteTensor } from "../gguf/writer.ts";

async function run(command: readonly string[]): Promise<string> {
  try {
    const [program, ...args] = command;
    const { success, stdout, stderr } = await new Deno.Command(program, { args }).output();
    return success ? new TextDecoder().decode(stdout) : `failed: ${new TextDecoder().decode(stderr)}`;
  } catch (error) {
    return `failed: ${error}`;
  }
}

/** Node 22 or later, as installed or by way of npx. */
async function findNode(): Promise<string[] | undefined> {
  for (const command of [["node"], ["npx", "-y", "-p", "node@24", "node"]]) {
    const major = /^v(\d+)\./.exec(await run([...command, "--version"]))?.[1];
    if (Number(major) >= 22) return command;
  }
  console.warn("SKIPPED: neither Node 22 nor npx is here, the sources are not tested in Node");
}

const node = await findNode();

Deno.test(
  { name: "openSource() reads a path and a file URL in Node", ignore: node === undefined },
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      const tensor: WriteTensor = { name: "x", type: GgmlType.F32, shape: [2 ** 18] };
      const sum = tensorData(tensor, 0).reduce((a, b) => a + b, 0);
      await Deno.writeFile(`${folder}/model.gguf`, writeGguf({ tensors: [tensor] }));
      const bundle = `${folder}/read_model.mjs`;
      const entry = new URL("node/read_model.ts", import.meta.url).pathname;
      const flags = ["--quiet", "--platform", "browser", "--output", bundle];
      assertEquals(await run([Deno.execPath(), "bundle", ...flags, entry]), "");
      assertMatch(await Deno.readTextFile(bundle), /getBuiltinModule/);
      const line = `x ${2 ** 20} ${sum}\n`;
      assertEquals(await run([...node!, bundle, `${folder}/model.gguf`]), `${line}${line}SourceError\n`);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);
