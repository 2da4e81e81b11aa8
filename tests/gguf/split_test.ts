import { assertEquals, assertRejects } from "@std/assert";
import { GgufError, SourceError } from "../../src/error.ts";
import { GgmlType } from "../../src/gguf/mod.ts";
import { readAll, readModel } from "./read.ts";
import { tensorData, type Value, writeGguf, type WriteTensor } from "./writer.ts";

const TENSORS: WriteTensor[] = ["a", "b", "c", "d"].map((name, index) => {
  const tensor = { name, type: GgmlType.F32, shape: [5, index + 1] };
  return { ...tensor, data: tensorData(tensor, index) };
});

interface Split {
  no?: number;
  count?: number;
  total?: number;
  tensors: WriteTensor[];
}

function file({ no, count, total, tensors }: Split): Uint8Array<ArrayBuffer> {
  const key = (name: string, value: number | undefined): [string, Value][] =>
    value === undefined ? [] : [[name, { type: "UINT16", value }]];
  const metadata = [
    ...key("split.no", no),
    ...key("split.count", count),
    ...key("split.tensors.count", total),
    ["only", { type: "STRING", value: `in file ${no}` }] as [string, Value],
  ];
  return writeGguf({ metadata, tensors });
}

const PARTS = [TENSORS.slice(0, 2), [], TENSORS.slice(2)];
const FILES = PARTS.map((tensors, no) => file({ no, count: 3, total: 4, tensors }));

Deno.test("openModel() reads a split model from its files in order", async () => {
  const { model, weights, progress } = await readAll(FILES);
  assertEquals(model.tensors.map((t) => [t.name, t.file]), [["a", 0], ["b", 0], ["c", 2], ["d", 2]]);
  assertEquals(model.metadata.string("only"), "in file 0");
  for (const tensor of TENSORS) assertEquals(weights.get(tensor.name), tensor.data);
  assertEquals(progress.at(-1)!.loaded, model.fileBytes);
});

Deno.test("openModel() reads a split of streams, which can be read but once", async () => {
  const { weights } = await readAll(FILES.map((bytes) => new Response(bytes)));
  assertEquals([...weights.keys()], ["a", "b", "c", "d"]);
});

Deno.test("openModel() finds the other files by the name of any of them", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (const [i, bytes] of FILES.entries()) {
      await Deno.writeFile(`${folder}/tiny-0000${i + 1}-of-00003.gguf`, bytes);
    }
    for (const i of [1, 3]) {
      const { weights, progress } = await readAll(`${folder}/tiny-0000${i}-of-00003.gguf`);
      for (const tensor of TENSORS) assertEquals(weights.get(tensor.name), tensor.data);
      assertEquals(progress.at(-1)!.file, `${folder}/tiny-00003-of-00003.gguf`);
    }
    await Deno.rename(`${folder}/tiny-00001-of-00003.gguf`, `${folder}/other.gguf`);
    await assertRejects(
      () => readModel(`${folder}/other.gguf`),
      SourceError,
      "the model is split, wanted a name like x-00001-of-00002.gguf",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("openModel() refuses splits that do not fit together", async () => {
  const [a, b, c] = FILES;
  const refusals: [Uint8Array<ArrayBuffer>[], typeof GgufError | typeof SourceError, string][] = [
    [[a], SourceError, "the model has 3 files, 1 given"],
    [[a, b], SourceError, "the model has 3 files, 2 given"],
    [[file({ tensors: TENSORS }), b], SourceError, "the model has 1 files, 2 given"],
    [[a, c, b], GgufError, "split.no is 2, wanted 1"],
    [[b, a, c], GgufError, "split.no is 1, wanted 0"],
    [[a, b, file({ no: 2, count: 4, tensors: [] })], GgufError, "split.count is 4, wanted 3"],
    [[a, b, file({ tensors: PARTS[2] })], GgufError, "field split.count"],
    [[a, b, file({ no: 2, count: 3, tensors: TENSORS.slice(1) })], GgufError, `"b" is in two files`],
    [[a, b, file({ no: 2, count: 3, tensors: [] })], GgufError, "4 tensors, but the files have 2"],
    [[file({ no: 0, count: 60000, tensors: [] })], GgufError, "60000 files, wanted 1 to 9999"],
  ];
  for (const [files, type, message] of refusals) await assertRejects(() => readModel(files), type, message);
});
