import type { ReadEntry } from "../storage.ts";

/** Every query reads every slot that it may see. */
export const dense: ReadEntry = {
  name: "dense",
  summary: "Reads every slot",
  source: "",
  cost: "nothing",
  params: {},
  plan: () => null,
};
