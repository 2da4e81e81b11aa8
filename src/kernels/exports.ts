/** What both binaries export, as `deno task build` found it. */
export type KernelExports = typeof import("./wasm/kernels.d.ts") & {
  /** Address of the word in which workerd says that CPU time is nearly used up. */
  readonly __instance_signal: WebAssembly.Global;
};
