import type { PolicyEntry } from "./params.ts";
import { snapkv } from "./snapkv.ts";

/**
 * What leaves the prompt is not lost: its value joins the most similar key that stays, which then weighs for both. The
 * choice itself is that of the prompt's last rows.
 */
export const massfold: PolicyEntry = {
  name: "massfold",
  summary: "Keeps what the last tokens of the prompt attend to, and folds all other values into it",
  source: "MassFold, github.com/jg-codes/kvfold",
  cost:
    "4 bytes per slot and query head, 4 per slot and KV head; a product of keys for every pair of one that " +
    "leaves and one that stays, at the end of the prompt, or of each chunk",
  params: { ...snapkv.params, pool: { ...snapkv.params.pool, default: 1 } },
  create: (values) => ({ ...snapkv.create(values)!, name: "massfold", victims: "mass_fold" }),
};
