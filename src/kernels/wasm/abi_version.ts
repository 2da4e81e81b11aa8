// Written by `deno task build`.
/** Of the exports that `kernels.d.ts` declares: what a binary says, too, if it goes with this code. */
export const ABI_VERSION = 1068270543;
