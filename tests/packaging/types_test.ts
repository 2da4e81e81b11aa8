/**
 * The types of the package as it is installed, for who compiles with TypeScript.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import ts from "typescript";
import { installedApp } from "../tools/tools.ts";

const PROGRAM = `
import { generate, loadModel, type ModelPlan } from "@locket/locket";
import { locket } from "@locket/locket/ai-sdk";
import { loadModel as loadByHand } from "@locket/locket/manual";
import { createServer } from "@locket/locket/server";
import { r2Object } from "@locket/locket/workers";

const model = await loadModel("x", { context: 5 });
export const plan: ModelPlan = model.plan;
{
  using brief = await loadModel("x");
  using sequence = brief.sequence();
  sequence.decode(1);
}
for await (const { text, id } of generate(model, "x")) console.log(text.length, id.toFixed());
export const { text } = await generate(model, "x", { jsonSchema: { type: "object" } }).result();
export const vector: Float32Array = await model.embed("x");
await createServer(() => Promise.resolve(model), { queue: 3 }).fetch(new Request("x"));
export const id: string = locket(model).modelId;
await loadByHand("x", { kernels: { simd128: new URL("file:///x") } });
export const reader = await r2Object({ head: () => Promise.resolve(null), get: () => Promise.resolve(null) }, "x");
// @ts-expect-error a number is wanted
await loadModel("x", { context: "5" });
`;

const HOSTS = [
  { conditions: ["browser"], names: "opfsStore, cachedSource, generate, loadModel" },
  { conditions: ["workerd"], names: "durableObjectSessions, r2Object, SessionObject, loadModel" },
  { conditions: ["deno"], names: "denoKvSessions, fileSessions, loadModel" },
  { conditions: ["node"], names: "fileSessions, chatPrompt, generate, loadModel" },
  // nobody has told the compiler where it will run
  { conditions: [], names: "fileSessions, chatPrompt, generate, loadModel" },
];

for (const { conditions, names } of HOSTS) {
  Deno.test(`the installed package has the types of its host: ${conditions[0] ?? "none named"}`, async () => {
    const text = `import { ${names} } from "@locket/locket";
      export const all = [${names}] as const;
      export const model = await loadModel("x", { context: 5 });`;
    assertEquals(
      await complaints(`host_${conditions[0] ?? "none"}.ts`, text, {
        module: ts.ModuleKind.ESNext,
        moduleResolution: ts.ModuleResolutionKind.Bundler,
        customConditions: conditions,
      }),
      "",
    );
  });
}

Deno.test("the installed package has sound types", async () => {
  const nodeNext = {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
  };
  assertEquals(await complaints("types.ts", PROGRAM, nodeNext), "");
});

Deno.test("the installed package has sound types for who compiles for an older standard library", async () => {
  const text = `import { loadModel } from "@locket/locket";
    export const model = await loadModel("x", { context: 5 });`;
  const lib = ["lib.es2022.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"];
  assertEquals(
    await complaints("older.ts", text, {
      lib,
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
    }),
    "",
  );
});

/** What the compiler says of a program in an application that has installed the package. */
async function complaints(name: string, text: string, options: ts.CompilerOptions): Promise<string> {
  const app = (await installedApp()).pathname;
  const path = `${app}${name}`;
  await Deno.writeTextFile(path, text);
  const program = ts.createProgram([path], {
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ESNext,
    lib: ["lib.esnext.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts", "lib.dom.asynciterable.d.ts"],
    types: [],
    ...options,
  });
  const host = {
    getCanonicalFileName: (f: string) => f,
    getCurrentDirectory: () => app,
    getNewLine: () => "\n",
  };
  return ts.formatDiagnostics(ts.getPreEmitDiagnostics(program), host);
}
