/**
 * A model in shards: cut by the command, read back from files, and in workerd from static assets.
 *
 * @module
 */
import { assertEquals, assertRejects } from "@std/assert";
import { generate, loadModel, openShards, SourceError } from "../../mod.ts";
import { output } from "../tools/tools.ts";
import { hasWorkerd, serveWorker } from "../tools/worker.ts";

const root = new URL("../../", import.meta.url);
const path = new URL("models/locket-books-q8_0.gguf", root).pathname;

/** The bundled model in pieces of 1 MB, in a folder that goes away. */
async function shards(): Promise<{ folder: string } & AsyncDisposable> {
  const folder = await Deno.makeTempDir();
  const flags = ["--allow-read", "--allow-write", "src/cli/shard.ts"];
  await output([Deno.execPath(), "run", ...flags, path, "--out", folder, "--size", "1MB"], { cwd: root });
  return { folder, [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
}

const fromFolder = (folder: string) => async (name: string) =>
  await Deno.open(`${folder}/${name}`).then(({ readable }) => readable, () => null);

async function tokens(input: Parameters<typeof loadModel>[0]): Promise<readonly number[]> {
  const model = await loadModel(input, { context: 128, binary: "simd128" });
  const { tokens } = await generate(model, "The old house", { maxTokens: 10 }).result();
  model.dispose();
  return tokens;
}

Deno.test("deno task shard cuts a model and openShards() puts it together", async () => {
  await using cut = await shards();
  const manifest = JSON.parse(await Deno.readTextFile(`${cut.folder}/manifest.json`));
  const { size } = await Deno.stat(path);
  assertEquals(manifest.shards.length, Math.ceil(size / 1e6));
  assertEquals(await tokens(await openShards(fromFolder(cut.folder))), await tokens(path));
});

Deno.test("openShards() reads from any offset", async () => {
  await using cut = await shards();
  const reader = await openShards(fromFolder(cut.folder));
  const bytes = await Deno.readFile(path);
  for (const offset of [1_000_000, 0, 999_990, 1_234_567, bytes.length - 3]) {
    const piece = new Uint8Array(await reader.read(offset, 20));
    assertEquals(piece, bytes.slice(offset, offset + piece.length));
  }
  assertEquals((await reader.read(bytes.length, 20) as Uint8Array).length, 0);
});

Deno.test("openShards() refuses a shard that is damaged, short, long or missing, and what is no manifest", async () => {
  await using cut = await shards();
  const shard = `${cut.folder}/locket-books-q8_0.gguf.001`;
  const bytes = await Deno.readFile(shard);
  const load = async () => await loadModel(await openShards(fromFolder(cut.folder)), { context: 128 });
  const damaged = bytes.slice();
  damaged[500_000] ^= 1;
  for (
    const [wrong, message] of [
      [damaged, "the SHA-256 is"],
      [bytes.slice(0, -1), "it ends after"],
      [new Uint8Array([...bytes, 0]), "bytes came"],
    ] as const
  ) {
    await Deno.writeFile(shard, wrong);
    await assertRejects(load, SourceError, message);
  }
  await Deno.remove(shard);
  await assertRejects(load, SourceError, "there is no such file");
  for (const text of ["", "{}", `{"version":1,"shards":[]}`, `{"version":2}`]) {
    await Deno.writeTextFile(`${cut.folder}/manifest.json`, text);
    await assertRejects(load, SourceError, "no manifest");
  }
});

Deno.test(
  { name: "a Worker loads shards out of its static assets, and out of KV", ignore: !await hasWorkerd() },
  async () => {
    await using cut = await shards();
    await using worker = await serveWorker(new URL("workerd/shards_worker.js", import.meta.url), {
      assets: { directory: cut.folder, binding: "ASSETS" },
      kvNamespaces: ["KV"],
    });
    const wanted = await tokens(path);
    assertEquals(await (await fetch(worker.url)).json(), wanted);
    for await (const { name } of Deno.readDir(cut.folder)) {
      const body = await Deno.readFile(`${cut.folder}/${name}`);
      await (await fetch(worker.url + name, { method: "PUT", body })).body?.cancel();
    }
    assertEquals(await (await fetch(`${worker.url}kv`)).json(), wanted);
  },
);
