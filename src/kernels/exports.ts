/** What both binaries export, as `deno task build` found it. */
export type KernelExports = typeof import("./wasm/kernels.d.ts");
