import { assert, assertEquals, assertRejects } from "@std/assert";
import { GgufError, SourceError } from "../../src/error.ts";
import { GgmlType, openModel } from "../../src/gguf/mod.ts";
import { openSource } from "../../src/runtime/open_source.ts";
import { inPieces, readAll } from "./read.ts";
import { tensorData, writeGguf, type WriteTensor } from "./writer.ts";

const TENSORS: WriteTensor[] = [
  { name: "a", type: GgmlType.F32, shape: [100, 7] },
  { name: "b", type: GgmlType.Q4_0, shape: [32, 33] },
];
const FILE = writeGguf({ tensors: TENSORS });
const nowhere = { write() {}, done() {} };

Deno.test("streamTensors() delivers every byte once, whatever the pieces", async () => {
  for (const size of [1, 31, 100, 1000, 1e6]) {
    const { weights } = await readAll(inPieces(FILE, size));
    TENSORS.forEach((tensor, i) => assertEquals(weights.get(tensor.name), tensorData(tensor, i)));
  }
});

Deno.test("streamTensors() reports progress from the header to the last byte", async () => {
  const { model, progress } = await readAll(inPieces(FILE, 100));
  const loaded = progress.map((event) => event.loaded);
  assertEquals(loaded, loaded.toSorted((a, b) => a - b));
  assertEquals(loaded.at(-1), model.fileBytes);
  assert(progress.every(({ total, file }) => total === model.fileBytes && file === "stream"));
});

Deno.test("streamTensors() names the tensor inside which a file ends", async () => {
  const opened = await openModel(openSource(inPieces(FILE.subarray(0, -100), 64)));
  const error = await assertRejects(() => opened.streamTensors(nowhere), GgufError, "inside this field");
  assertEquals([error.field, error.offset], ["b", opened.model.tensors[1].offset]);
});

Deno.test("streamTensors() reads the weights once", async () => {
  const opened = await openModel(openSource(FILE));
  await opened.streamTensors(nowhere);
  await assertRejects(() => opened.streamTensors(nowhere), SourceError, "the weights were read already");
});

Deno.test("streamTensors() rejects with the signal's reason and lets the source go", async () => {
  let canceled = false;
  let pulls = 0;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (pulls++ === 0) controller.enqueue(FILE.slice(0, 300));
      else return new Promise(() => {});
    },
    cancel() {
      canceled = true;
    },
  }, { highWaterMark: 0 });
  const opened = await openModel(openSource(stream));
  const controller = new AbortController();
  const loading = opened.streamTensors(nowhere, { signal: controller.signal });
  setTimeout(() => controller.abort(new Error("enough")), 5);
  await assertRejects(() => loading, Error, "enough");
  assert(canceled);
});

Deno.test("openModel() rejects with the signal's reason while it waits for the header", async () => {
  const silent = new ReadableStream<Uint8Array>({ pull: () => new Promise(() => {}) });
  await assertRejects(
    () => openModel(openSource(silent), { signal: AbortSignal.timeout(5) }),
    DOMException,
    "timeout",
  );
});

Deno.test("streamTensors() gives the event loop its turn over a source in memory", async () => {
  const bytes = writeGguf({
    tensors: [{ name: "x", type: GgmlType.F32, shape: [2 ** 20], data: new Uint8Array(2 ** 22) }],
  });
  const opened = await openModel(openSource(bytes));
  const controller = new AbortController();
  setTimeout(() => controller.abort(new Error("seen")), 0);
  const slow = {
    write() {
      const until = performance.now() + 15;
      while (performance.now() < until);
    },
    done() {},
  };
  await assertRejects(() => opened.streamTensors(slow, { signal: controller.signal }), Error, "seen");
});
