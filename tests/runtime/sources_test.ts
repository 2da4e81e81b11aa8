import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { OptionError, SourceError } from "../../src/error.ts";
import { GgmlType, openModel } from "../../src/gguf/mod.ts";
import { openNodeFile } from "../../src/runtime/node.ts";
import { type ModelInput, openSource } from "../../src/runtime/open_source.ts";
import type { SourceOptions } from "../../src/runtime/source_options.ts";
import { splitName } from "../../src/runtime/split_name.ts";
import { inPieces, readAll } from "../gguf/read.ts";
import { writeGguf } from "../gguf/writer.ts";

// more than one piece of any source
const WEIGHTS = Uint8Array.from({ length: 3 * 2 ** 20 + 64 }, (_, i) => (i * 31) & 255);
const FILE = writeGguf({
  tensors: [{ name: "x", type: GgmlType.F16, shape: [WEIGHTS.length / 2], data: WEIGHTS }],
});
const SHA256 = await hex(FILE);

async function hex(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function withFile(use: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempFile({ suffix: " ü.gguf" });
  try {
    await Deno.writeFile(path, FILE);
    await use(path);
  } finally {
    await Deno.remove(path);
  }
}

async function assertReads(input: ModelInput, name?: string, options?: SourceOptions): Promise<void> {
  const { weights, progress } = await readAll(input, options);
  const found = weights.get("x")!;
  assert(
    found.length === WEIGHTS.length && found.every((byte, i) => byte === WEIGHTS[i]),
    "the bytes differ",
  );
  if (name !== undefined) assertEquals(progress[0].file, name);
}

const reader = { size: FILE.length, name: "store", read: (at: number, n: number) => FILE.slice(at, at + n) };
const around = new Uint8Array(FILE.length + 7);
around.set(FILE, 3);

const INPUTS: [string, () => ModelInput, string][] = [
  ["an ArrayBuffer", () => FILE.buffer.slice(0), "bytes"],
  ["a Uint8Array inside a larger buffer", () => around.subarray(3, 3 + FILE.length), "bytes"],
  ["a DataView", () => new DataView(around.buffer, 3, FILE.length), "bytes"],
  ["a Blob", () => new Blob([FILE]), "blob"],
  ["a File", () => new File([FILE], "my.gguf"), "my.gguf"],
  ["a ReadableStream", () => inPieces(FILE, 100_000), "stream"],
  ["a ReadableStream of one piece", () => inPieces(FILE, FILE.length), "stream"],
  ["a Response", () => new Response(FILE), "response"],
  ["a Response without a length", () => new Response(inPieces(FILE, 65536)), "response"],
  ["read(offset, length)", () => reader, "store"],
  ["read(offset, length) without a size", () => ({ read: reader.read }), "bytes"],
  ["read(offset, length) of promises of ArrayBuffers", () => ({
    size: FILE.length,
    read: (at, n) => Promise.resolve(FILE.buffer.slice(at, Math.min(at + n, FILE.length))),
  }), "bytes"],
  [
    "read(offset, length) that gives less",
    () => ({ ...reader, read: (at, n) => reader.read(at, Math.min(n, 1e5)) }),
    "store",
  ],
  ["an array of one", () => [FILE], "bytes"],
];

for (const [what, input, name] of INPUTS) {
  Deno.test(`openSource() reads ${what}`, async () => {
    await assertReads(input(), name);
    await assertReads(input(), name, { size: FILE.length, sha256: SHA256.toUpperCase() });
  });
}

Deno.test("openSource() reads a path and a file URL", () =>
  withFile(async (path) => {
    const url = new URL(`file://${path}`);
    await assertReads(path, path);
    await assertReads(url, url.href);
    await assertReads(url.href, url.href, { sha256: SHA256 });
  }));

Deno.test("openNodeFile() reads a path and a file URL", () =>
  withFile(async (path) => {
    for (const name of [path, new URL(`file://${path}`)]) {
      const handle = await openNodeFile(name);
      await assertReads(handle);
      handle.close();
    }
    await assertRejects(() => openNodeFile(`${path}.missing`), Error, "ENOENT");
  }));

Deno.test("openSource() reads nothing before it is asked to", () => {
  let reads = 0;
  const lazy = {
    read() {
      reads++;
      return FILE;
    },
  };
  openSource(lazy);
  openSource("no/such/file.gguf");
  assertEquals(reads, 0);
});

Deno.test("openModel() says which source failed, and why", async () => {
  const locked = new ReadableStream<Uint8Array>();
  locked.getReader();
  const broken = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.error(new Error("cable cut")),
  });
  const used = new Response(FILE);
  await used.arrayBuffer();
  const texts = new ReadableStream({ pull: (controller) => controller.enqueue("text") });
  const failures: [ModelInput, string][] = [
    ["no/such/file.gguf", "no/such/file.gguf: can't be opened: No such file"],
    [locked, "stream: it is being read already"],
    [broken, "stream: can't be read: cable cut"],
    [used, "response: it is being read already, or was read before"],
    [texts, "stream: a piece is string, wanted bytes"],
    [new Response("gone", { status: 404, statusText: "Not Found" }), "response: HTTP status 404 Not Found"],
    [new Response(null, { status: 204 }), "response: the response has no body"],
    [
      new Response(FILE.slice(0, 10), { headers: { "content-length": "99" } }),
      "it ends after 10 of 99 bytes",
    ],
    [{ read: () => Promise.reject(new Error("no bucket")) }, "bytes: can't be read at byte 0: no bucket"],
    [{ read: () => new Uint8Array(2 ** 21) }, "read() gave 2097152 bytes, wanted at most 1048576"],
    [{ size: 100, read: () => new Uint8Array(0) }, "it ends after 0 of 100 bytes"],
  ];
  for (const [input, message] of failures) {
    await assertRejects(() => openModel(openSource(input)), SourceError, message);
  }
});

Deno.test("openSource() refuses inputs and digests that are none", () => {
  for (const input of [undefined, null, 7, {}, [], "http://"]) {
    assertThrows(() => openSource(input as unknown as ModelInput), OptionError, "model is");
  }
  assertThrows(() => openSource(undefined as unknown as ModelInput), OptionError, "model is not given");
  assertThrows(() => openSource(FILE, { sha256: "abc" }), OptionError, "wanted 64 hexadecimal digits");
});

Deno.test("streamTensors() refuses a file with another digest or size", async () => {
  const wrong = SHA256.replace(/^./, (digit) => digit === "0" ? "1" : "0");
  await assertRejects(
    () => readAll(FILE, { sha256: wrong }),
    SourceError,
    `the SHA-256 is ${SHA256}, wanted ${wrong}`,
  );
  await assertRejects(() => readAll(inPieces(FILE, 1e5), { sha256: wrong }), SourceError, "the SHA-256 is");
  const changed = FILE.slice();
  changed[changed.length - 1] ^= 1;
  await assertRejects(() => readAll(changed, { sha256: SHA256 }), SourceError, "the SHA-256 is");
  const [less, more] = [FILE.length - 1, FILE.length + 1];
  await assertRejects(
    () => readAll(FILE, { size: less }),
    SourceError,
    `the file has ${FILE.length} bytes, wanted ${less}`,
  );
  await assertRejects(
    () => readAll(inPieces(FILE, 1e5), { size: more }),
    SourceError,
    `it ends after ${FILE.length} of`,
  );
  await assertRejects(
    () => readAll(inPieces(new Uint8Array([...FILE, 0]), 1e5), { size: FILE.length }),
    SourceError,
    `more than ${FILE.length} bytes came`,
  );
});

Deno.test("sizes and digests of a split model are those of its files in order", async () => {
  const parts = [0, 1].map((no) =>
    writeGguf({
      metadata: [["split.no", { type: "UINT16", value: no }], ["split.count", { type: "UINT16", value: 2 }]],
      tensors: [{ name: `x${no}`, type: GgmlType.F32, shape: [100 + no] }],
    })
  );
  const size = parts.map((part) => part.length);
  const sha256 = await Promise.all(parts.map(hex));
  const { weights } = await readAll(parts, { size, sha256 });
  assertEquals([...weights.keys()], ["x0", "x1"]);
  await assertRejects(() => readAll(parts, { sha256: sha256.toReversed() }), SourceError, "the SHA-256 is");
});

Deno.test("splitName() gives the names beside any file of a split", () => {
  assertEquals(splitName("a/b-00001-of-00012.gguf", 0), "a/b-00001-of-00012.gguf");
  assertEquals(splitName("a/b-00003-of-00012.GGUF", 11), "a/b-00012-of-00012.GGUF");
  assertEquals(splitName("a/b.gguf", 0), "a/b.gguf");
  assertThrows(() => splitName("a/b.gguf", 1), SourceError, "the model is split");
  assertThrows(() => splitName("b-00001-of-00002.gguf", 2), SourceError, "the name says 2 files, wanted 3");
});
