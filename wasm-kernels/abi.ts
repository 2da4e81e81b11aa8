/**
 * What a binary and the code that calls it have to agree on: the names of its exports and of their arguments. A number
 * made of them goes into both, and is compared at load.
 *
 * @module
 */

/** Where the number goes, beside the binaries. */
export const VERSION_FILE = "abi_version.ts";

/** The raw exports, typed and with names for their arguments, out of the declarations that wasm-bindgen writes. */
export function declarations(bindings: string): string {
  const functions = Array.from(
    bindings.matchAll(
      /^export function (\w+)\(((?:\w+: (?:number|boolean)(?:, )?)*)\): (number|boolean|void);$/gm,
    ),
    // Raw exports have no truth values.
    ([, name, ...types]) => [name, ...types.map((text) => text.replaceAll("boolean", "number"))],
  ).map(([name, parameters, result]) => `export const ${name}: (${parameters}) => ${result};`);
  return [
    "// Written by `deno task build`.",
    "export const memory: WebAssembly.Memory;",
    ...functions,
    "export const abi_version: () => number;",
    "",
  ].join("\n");
}

/** 31 bits of a digest of the declarations: another number when an export or an argument comes, goes or moves. */
export async function abiVersion(declarations: string): Promise<number> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(declarations));
  return new DataView(digest).getUint32(0) >>> 1;
}

/** The number as a module for the code that loads a binary. */
export function versionModule(version: number): string {
  return [
    "// Written by `deno task build`.",
    "/** Of the exports that `kernels.d.ts` declares: what a binary says, too, if it goes with this code. */",
    `export const ABI_VERSION = ${version};`,
    "",
  ].join("\n");
}
