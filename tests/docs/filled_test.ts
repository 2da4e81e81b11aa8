/**
 * The documents' code is that of the examples, and their table what the planner says.
 *
 * @module
 */
import { assert } from "@std/assert";
import { output, run } from "../tools/tools.ts";

const root = new URL("../../", import.meta.url);

/** Examples whose code a document shows, so that a quick start is always one that a test runs. */
const SHOWN = [
  "examples/node/main.js",
  "examples/worker-r2/worker.js",
  "examples/deno-deploy/main.ts",
  "examples/page/main.js",
];

Deno.test("README.md and docs/edge.md hold what deno task docs fills in", async () => {
  const { success, stderr } = await run([Deno.execPath(), "task", "-q", "docs", "--check"], { cwd: root });
  assert(success, stderr);
});

Deno.test("README.md has a quick start for each runtime, and each is run by a test", async () => {
  const readme = await Deno.readTextFile(new URL("README.md", root));
  for (const example of SHOWN) assert(readme.includes(`<!-- from ${example} -->`), example);
  const tests = await output(["grep", "-rhoE", "examples/[a-z0-9-]+/[a-z]+\\.[a-z]+", "tests/examples"], {
    cwd: root,
  });
  for (const example of SHOWN) assert(tests.includes(example), `no test in tests/examples runs ${example}`);
});
