import { keyGeometry } from "./key_geometry.ts";

/** Short keys tend to draw attention: those stay. A floor among the policies that look at keys alone. */
export const knorm = keyGeometry({
  name: "knorm",
  summary: "Keeps the shortest keys and the latest tokens",
  source: "arXiv 2406.11430",
  cost: "no bytes; a pass over the keys whenever it reduces",
}, "keyNorm");
