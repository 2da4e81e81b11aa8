import { assert, assertEquals, assertRejects } from "@std/assert";
import { KernelError } from "../../src/error.ts";
import { instantiate } from "../../src/kernels/load.ts";
import { ABI_VERSION } from "../../src/kernels/wasm/abi_version.ts";
import { PAGE_BYTES } from "../../src/memory/plan.ts";
import { abiVersion } from "../../wasm-kernels/abi.ts";

const installed = new URL("../../src/kernels/wasm/", import.meta.url);
/** What wasm-bindgen exports for itself. */
const OF_BINDGEN = /^__/;

/** Exports of a file of declarations, by name: how many arguments each takes. */
async function declared(file: string): Promise<Map<string, number>> {
  const text = await Deno.readTextFile(new URL(file, installed));
  return new Map(Array.from(
    text.matchAll(/^export const (\w+): \((.*)\) => \w+;$/gm),
    ([, name, parameters]) => [name, parameters.split(",").filter((parameter) => parameter !== "").length],
  ));
}

Deno.test("the version is that of the declarations", async () => {
  const text = await Deno.readTextFile(new URL("kernels.d.ts", installed));
  assertEquals(ABI_VERSION, await abiVersion(text));
});

Deno.test("an export or an argument that comes, goes or moves makes another version", async () => {
  const text = await Deno.readTextFile(new URL("kernels.d.ts", installed));
  const versions = await Promise.all([
    text,
    text.replace(/^export const add: .*\n/m, ""),
    text.replace(
      "export const add: (out: number, x: number, ",
      "export const add: (x: number, out: number, ",
    ),
    text.replace("export const add: (out: number, ", "export const add: ("),
  ].map(abiVersion));
  assertEquals(new Set(versions).size, versions.length);
});

for (
  const [binary, declarations] of [
    ["simd128", "kernels.d.ts"],
    ["relaxed", "kernels.d.ts"],
    ["calibrate", "calibrate.d.ts"],
  ]
) {
  Deno.test(`${binary} exports what is declared, and says so`, async () => {
    const bytes = await Deno.readFile(new URL(`${binary}.wasm`, installed));
    const exports = await instantiate(bytes, 2 * PAGE_BYTES);
    assertEquals(exports.abi_version(), ABI_VERSION);
    const functions = Object.entries(exports).filter(([name, value]) =>
      typeof value === "function" && !OF_BINDGEN.test(name)
    );
    const found = new Map(functions.map(([name, value]) => [name, (value as () => void).length]));
    assertEquals(found, await declared(declarations));
    assert(found.has("matmul"));
  });
}

/** A module with one export that returns a number below 64. */
function returning(name: string, value: number): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(name);
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], // magic, version
    ...[0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7f], // one type: () -> i32
    ...[0x03, 0x02, 0x01, 0x00], // one function of it
    ...[0x07, text.length + 4, 0x01, text.length, ...text, 0x00, 0x00], // exported
    ...[0x0a, 0x06, 0x01, 0x04, 0x00, 0x41, value, 0x0b], // i32.const value
  ]);
}

Deno.test("a binary of other exports is refused before anything is called", async () => {
  const refused = (module: Uint8Array<ArrayBuffer>) =>
    assertRejects(() => instantiate(module, PAGE_BYTES), KernelError);
  assertEquals((await refused(returning("abi_version", 7))).kernel, "abi_version");
  assertEquals((await refused(returning("anything", 7))).kernel, "abi_version");
});
