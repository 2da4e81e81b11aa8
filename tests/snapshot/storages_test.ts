/**
 * Snapshots of what storages and readers keep beside keys and values.
 *
 * @module
 */
import { assert } from "@std/assert";
import { READERS } from "../../src/cache/read/mod.ts";
import { STORAGES } from "../../src/cache/storage/mod.ts";
import { OptionError } from "../../src/error.ts";
import type { LoadModelOptions } from "../../src/runtime/load_model.ts";
import { checkGoingOn } from "./going_on.ts";

/** Policies with which most of them go: each has to go with one, or to belong to a policy of its own. */
const POLICIES: readonly LoadModelOptions[] = [
  {},
  { policy: "keyformer", budget: 64 },
  { policy: "snapkv:reserve=128", budget: 64, prefill: "whole" },
  { policy: "zipvl:others=demote,block=16", budget: 0.6 },
];

/** Those that need more than their name; tests of their own save them. */
const ELSEWHERE = ["cq", "subgen", "anchor"];

const OPTIONS = [
  ...STORAGES.map(({ name }) => ({ storage: name })),
  ...READERS.map(({ name }) => ({ read: name })),
];

for (const option of OPTIONS) {
  const [[axis, name]] = Object.entries(option);
  if (ELSEWHERE.includes(name)) continue;
  Deno.test(`${axis} ${name}: restored, a sequence goes on as if it had never stopped`, async () => {
    let done = 0;
    for (const policy of POLICIES) {
      try {
        await checkGoingOn({ ...option, ...policy });
        done++;
      } catch (error) {
        // it does not go with this policy
        if (!(error instanceof OptionError && error.option === axis)) throw error;
      }
    }
    assert(done > 0, "it went with no policy");
  });
}
