import type { LoadModelOptions } from "../../src/runtime/load_model.ts";
import { checkGoingOn } from "../snapshot/going_on.ts";

const SYSTEMS: readonly LoadModelOptions[] = [
  { policy: "pyramidkv:reserve=128", budget: 64 },
  { policy: "expected_attention:reserve=128", budget: 64 },
  { policy: "expected_attention:reserve=128", budget: 64, budgetRule: "adakv", victims: "mass_fold" },
  { policy: "reconstruction:reserve=128", budget: 64 },
  { policy: "massfold:reserve=128", budget: 64, kvType: "q4_0" },
  { policy: "h2o", budget: 64, victims: "mass_fold" },
  { policy: "h2o", budget: 64, budgetRule: "adakv:cap=1.5" },
  { policy: "elastic", budget: 0.4 },
  { policy: "corm:window=32,recent=32", budget: 100 },
  { policy: "keydiff:recent=16", budget: 64 },
  { policy: "knorm:recent=16", budget: 64 },
];

for (const system of SYSTEMS) {
  const name = Object.values(system).join(", ");
  Deno.test(`${name}: restored, a sequence goes on as if it had never stopped`, () => checkGoingOn(system));
}
