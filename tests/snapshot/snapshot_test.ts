import { assertEquals, assertThrows } from "@std/assert";
import { POLICIES } from "../../src/cache/policies/mod.ts";
import type { KvTypeName } from "../../src/cache/kv_cache.ts";
import { SnapshotError } from "../../src/error.ts";
import { loadBundled, LONG_TEXT } from "../generate/bundled.ts";
import { assertSameBytes, checkGoingOn, greedy } from "./going_on.ts";

const KV_TYPES: readonly KvTypeName[] = ["f32", "f16", "q8_0", "q4_0"];

/** Policies whose defaults want a larger budget. */
const SMALLER: Record<string, string> = { corm: "corm:window=16,recent=16" };

/** Every policy of the table, and those whose state is of a kind of its own. */
const SETTINGS = [
  ...POLICIES.map(({ name }) => SMALLER[name] ?? name),
  "keyformer:score=shared",
  "keyformer:every=8",
  "h2o:pyramid=4",
  "snapkv:window=4,reserve=64",
];

const rules = (policy: string) => policy === "full" ? {} : { policy, budget: 48 };

for (const policy of SETTINGS) {
  Deno.test(`${policy}: restored, a sequence goes on as if it had never stopped`, async () => {
    for (const kvType of KV_TYPES) await checkGoingOn({ binary: "simd128", kvType, ...rules(policy) });
    await checkGoingOn({ binary: "relaxed", ...rules(policy) });
  });
}

Deno.test("both binaries take each other's snapshots, and a snapshot of a restored sequence is the same", async () => {
  for (const policy of ["full", "keyformer"]) {
    const [one, other] = await Promise.all(
      (["simd128", "relaxed"] as const).map(async (binary) =>
        (await loadBundled({ binary, context: 256, ...rules(policy) })).sequence()
      ),
    );
    await one.prefill(one.tokenizer.encode(LONG_TEXT).slice(0, 100));
    const snapshot = one.save();
    other.restore(snapshot);
    assertSameBytes(other.save(), snapshot);
    one.restore(other.save());
    assertSameBytes(one.save(), snapshot);
  }
});

Deno.test("a cache of another capacity takes a snapshot whose slots fit, and refuses others", async () => {
  for (const policy of ["full", "keyformer", "snapkv:reserve=64"]) {
    const [small, large] = await Promise.all([
      loadBundled({ context: 256, chunk: 16, ...rules(policy) }),
      loadBundled({ context: 512, chunk: 64, ...rules(policy), sequences: 2 }),
    ]);
    const ids = small.tokenizer.encode(LONG_TEXT);
    const [one, two, three] = [small.sequence(), large.sequence(), large.sequence()];
    await one.prefill(ids.slice(0, 200));
    greedy(one, 5);
    two.restore(one.save());
    three.restore(two.save());
    const wanted = greedy(one, 20);
    assertEquals(greedy(two, 20), wanted);
    small.dispose();

    const again = (await loadBundled({ context: 256, chunk: 16, ...rules(policy) })).sequence();
    again.restore(three.save());
    assertEquals(greedy(again, 20), wanted);

    two.reset();
    await two.prefill(ids.slice(0, 300));
    const error = assertThrows(() => again.restore(two.save()), SnapshotError);
    assertEquals([error.what, error.found], ["length of its text", 300]);
    large.dispose();
  }
});

Deno.test("a budget that has no room in a smaller cache is refused by name", async () => {
  const options = { policy: "h2o", budget: 0.5, chunk: 32 };
  const large = (await loadBundled({ ...options, context: 512 })).sequence();
  const small = (await loadBundled({ ...options, context: 256 })).sequence();
  const ids = large.tokenizer.encode(LONG_TEXT);
  await large.prefill(ids.slice(0, 240));
  small.restore(large.save());
  assertEquals(greedy(small, 8), greedy(large, 8));
  // A text that began without a prompt keeps all that its cache has room for.
  large.reset();
  large.decode(ids[0]);
  assertThrows(() => small.restore(large.save()), SnapshotError, "budget of layer 0");
});
