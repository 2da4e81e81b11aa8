import { keyGeometry } from "./key_geometry.ts";

/**
 * Keys that point where most keys point say little: those stay that differ most from the mean direction of all keys of
 * their head. No query is looked at, so that a chunk of a prompt is as good as all of it.
 */
export const keydiff = keyGeometry({
  name: "keydiff",
  summary: "Keeps the keys that differ most from the mean direction of the keys",
  source: "arXiv 2504.15364",
  cost: "no bytes; two passes over the keys whenever it reduces, of which `every=8` saves seven in eight",
}, "keyDiff");
