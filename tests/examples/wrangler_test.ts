/**
 * The examples of Workers as wrangler bundles them for deployment, with our package as it is installed.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { installedApp, output, wrangler } from "../tools/tools.ts";

const examples = new URL("../../examples/", import.meta.url);
const model = new URL("../../models/locket-books-q8_0.gguf", import.meta.url);
const command = await wrangler();

/** Of a script with all its modules, on every plan. */
const MAX_SCRIPT_KIB = 64 * 1024;

/** What `wrangler deploy --dry-run` says, and the files it would send. */
async function dryRun(example: string): Promise<{ text: string; files: string[]; kib: number }> {
  const app = await installedApp();
  const folder = await Deno.makeTempDir();
  try {
    for await (const { name } of Deno.readDir(new URL(example, examples))) {
      await Deno.copyFile(new URL(`${example}/${name}`, examples), `${folder}/${name}`);
    }
    await Deno.copyFile(model, `${folder}/model.gguf`);
    await Deno.symlink(new URL("node_modules", app), `${folder}/node_modules`);
    const text = await output([...command!, "deploy", "--dry-run", "--outdir", "out"], {
      cwd: folder,
      env: { NO_COLOR: "1", WRANGLER_SEND_METRICS: "false", HOME: folder },
    });
    const [, kib, gzip] = /Total Upload: ([\d.]+) KiB \/ gzip: ([\d.]+) KiB/.exec(text)!.map(Number);
    console.log(`      examples/${example}: ${kib} KiB, ${gzip} KiB with gzip`);
    const files = await Array.fromAsync(Deno.readDir(`${folder}/out`), ({ name }) => name);
    return { text, files, kib };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const modules = (files: readonly string[], pattern: RegExp) =>
  files.filter((name) => pattern.test(name)).length;

Deno.test({ name: "wrangler bundles examples/worker-r2 for deployment", ignore: !command }, async () => {
  const { text, files, kib } = await dryRun("worker-r2");
  assertMatch(text, /env\.MODELS \(models\)\s+R2 Bucket/);
  assertEquals(modules(files, /-(simd128|relaxed)\.wasm$/), 2);
  assert(kib < 2048, "more than a few hundred KiB beside the kernels");
});

Deno.test({ name: "wrangler bundles examples/worker-static with its model", ignore: !command }, async () => {
  const { files, kib } = await dryRun("worker-static");
  assertEquals(modules(files, /-(simd128|relaxed)\.wasm$/), 2);
  assertEquals(modules(files, /-model\.gguf$/), 1);
  const { size } = await Deno.stat(model);
  assert(kib > size / 1024 && kib < MAX_SCRIPT_KIB);
});
