import type { KernelExports } from "../../kernels/exports.ts";

/** What the binary `calibrate` exports, as `deno task build` found it. */
export type CalibrationExports = KernelExports & typeof import("../../kernels/wasm/calibrate.d.ts");
