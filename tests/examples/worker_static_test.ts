/**
 * The example of a Worker with its model in the script, in workerd.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { loadModel } from "../../mod.ts";
import { generate } from "../../src/generate.ts";
import { hasWorkerd, serveWorker } from "../tools/worker.ts";

const model = new URL("../../models/locket-books-q8_0.gguf", import.meta.url);
const entry = new URL("../../examples/worker-static/worker.js", import.meta.url);
const ignore = !await hasWorkerd();

Deno.test({ name: "examples/worker-static streams, and lets a reader go", ignore }, async () => {
  await using worker = await serveWorker(entry, { data: { "src/entry/model.gguf": model } });
  const url = `${worker.url}?prompt=It%20was%20late&temperature=0`;

  const pieces: string[] = [];
  for await (const piece of (await fetch(url)).body!.pipeThrough(new TextDecoderStream())) pieces.push(piece);
  const here = await loadModel(model, { context: 512 });
  const { text } = await generate(here, "It was late", { maxTokens: 128 }).result();
  here.dispose();
  assertEquals(pieces.join(""), text);
  assert(pieces.length > 5, `the reply came in ${pieces.length} pieces`);

  // four sequences were planned: readers that leave give theirs back
  for (let i = 0; i < 4; i++) {
    const left = await fetch(url);
    const reader = left.body!.getReader();
    await reader.read();
    await reader.cancel();
  }
  const four = () => Promise.all([1, 2, 3, 4].map(async () => await (await fetch(url)).text()));
  const wanted = [text, text, text, text];
  for (const end = Date.now() + 10_000; Date.now() < end;) {
    if ((await four()).join() === wanted.join()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assertEquals(await four(), wanted);
});
