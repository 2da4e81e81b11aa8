import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { BUDGET_RULES } from "../../src/cache/budget_rules/mod.ts";
import { POLICIES } from "../../src/cache/policies/mod.ts";
import { READERS } from "../../src/cache/read/mod.ts";
import { STORAGES } from "../../src/cache/storage/mod.ts";
import { VICTIMS } from "../../src/cache/victims.ts";
import { LONG_TEXT } from "../generate/bundled.ts";
import { fail, json, succeed, withFile } from "./run.ts";

Deno.test("policies lists every policy, storage and reader with its parameters, as text and as JSON", async () => {
  const list: { axis: string; name: string }[] = await json("policies", ["--json"]);
  const known = {
    "policy": POLICIES,
    "budget-rule": BUDGET_RULES,
    "victims": VICTIMS,
    "storage": STORAGES,
    "read": READERS,
  };
  assertEquals(
    list.map(({ axis, name }) => [axis, name]),
    Object.entries(known).flatMap(([axis, entries]) => entries.map(({ name }) => [axis, name])),
  );
  const text = await succeed("policies");
  for (const { name } of list) assertStringIncludes(text, `${name}\n`);
  assertStringIncludes(text, "tauInit=1");
  assertStringIncludes(text, "every=1");
});

Deno.test("generate under a policy keeps what the budget says and reports it", async () => {
  const args = ["--prompt", LONG_TEXT, "--max-tokens", "8", "--ignore-eos", "--json"];
  const { cache, prompt_tokens } = await json("generate", [
    ...args,
    "--policy",
    "keyformer:recent=0.2",
    "--budget",
    "64",
  ]);
  assertEquals([cache.policy, cache.params.recent, cache.slots], ["keyformer", 0.2, 64]);
  assert(cache.capacity < prompt_tokens.length && cache.peak_slots <= cache.capacity);
  assert(cache.scoring_ms > 0 && cache.used_bytes < cache.bytes);
  const read = prompt_tokens.length + 7;
  for (const { min, mean, max } of cache.kept) assertEquals([min, mean, max], new Array(3).fill(64 / read));

  const whole = await json("generate", [
    ...args,
    "--policy",
    "h2o",
    "--budget",
    "0.25",
    "--prefill",
    "whole",
  ]);
  assertEquals(whole.cache.slots, Math.floor(prompt_tokens.length / 4));
  const bytes = await json("generate", [
    ...args,
    "--policy",
    "window",
    "--budget",
    "100kB",
    "--kv-type",
    "q8_0,q4_0",
  ]);
  assert(bytes.cache.bytes <= 100e3 && bytes.cache.bytes > 80e3);
});

Deno.test("generate goes on past the model's context at compact positions, and says so", async () => {
  const args = [
    "--prompt",
    LONG_TEXT.repeat(3),
    "--max-tokens",
    "8",
    "--ignore-eos",
    "--budget",
    "64",
    "--json",
  ];
  const long = ["--context", "4000", ...args];
  const { cache, prompt_tokens } = await json("generate", ["--policy", "cascading", ...long]);
  assert(prompt_tokens.length > 1024, "longer than the bundled model's context");
  assertEquals([cache.policy, cache.positions, cache.slots], ["cascading", "compact", 64]);
  const original = ["--policy", "cascading", "--positions", "original", ...long];
  await fail("generate", original, /--context.*4000/);
});

Deno.test("score under a policy is the loss of second halves, and what the cache takes", async () => {
  await withFile(LONG_TEXT, async (path) => {
    const score = (...args: string[]) => json("score", ["--text-file", path, "--context", "300", ...args]);
    const full = await score("--policy", "full");
    assertEquals(Object.keys(full), ["tokens", "nll", "perplexity", "kv_bytes"]);
    const half = await score("--policy", "h2o", "--budget", "0.5");
    const tenth = await score("--policy", "h2o", "--budget", "0.1");
    assertEquals([half.tokens, tenth.tokens], [full.tokens, full.tokens]);
    assert(full.kv_bytes > half.kv_bytes && half.kv_bytes > tenth.kv_bytes);
    assert(tenth.nll > full.nll);
    assert(Math.abs(Math.exp(half.nll) - half.perplexity) < 1e-6);
    const everything = await score("--policy", "keyformer", "--budget", "300");
    assert(Math.abs(everything.nll - full.nll) < 1e-9);
  });
});

Deno.test("inspect-cache writes one page with every step, that loads nothing", async () => {
  const path = await Deno.makeTempFile({ suffix: ".html" });
  const said = await succeed("inspect-cache", [
    "--html",
    path,
    "--max-tokens",
    "5",
    "--budget",
    "12",
    "--prompt",
    "</script> " + LONG_TEXT.slice(0, 200),
  ]);
  assertStringIncludes(said, "5 of reply");
  const page = await Deno.readTextFile(path);
  await Deno.remove(path);
  assert(!/https?:\/\/|src=/.test(page));
  const story = JSON.parse(/<script type="application\/json" id="story">([^<]+)<\/script>/.exec(page)![1]);
  assertEquals(story.steps.length, 6);
  assertEquals(story.tokens.length, story.promptTokens + 5);
  for (const layers of story.steps) {
    for (const { positions, scores } of layers.flat()) {
      assertEquals([positions.length, scores.length], [12, 12]);
    }
  }
  for (const curve of story.mass) {
    assert(curve.every((value: number, i: number) => i === 0 || value >= curve[i - 1]));
  }
  assert(story.mass.every((curve: number[]) => Math.abs(curve.at(-1)! - 1) < 1e-6));
});

Deno.test("a policy that makes no sense is refused by its flag before a model is loaded", async () => {
  const generate = (...args: string[]) => ["--prompt", "x", ...args];
  await fail("generate", generate("--policy", "keyformers"), /--policy.*keyformer/);
  await fail("generate", generate("--policy", "h2o:heavy=3"), /parameter of h2o is "heavy"/);
  await fail("generate", generate("--policy", "h2o:recent=64", "--budget", "64"), /--budget.*at least 65/);
  await fail("generate", generate("--budget", "0.5"), /--budget.*a policy beside it/);
  await fail(
    "generate",
    generate("--policy", "h2o", "--positions", "new"),
    /--positions.*original or compact/,
  );
  await fail(
    "generate",
    generate("--policy", "h2o", "--prefill", "some"),
    /--prefill.*streaming, whole, sparse/,
  );
  await fail("generate", generate("--kv-type", "q8_0,f16,f32"), /--kv-type/);
});
