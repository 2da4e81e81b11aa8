/** `deno task platforms`: which models fit where, and with what context. */
import type { GgufModel } from "../gguf/mod.ts";
import { planModel, type PlanOptions } from "../model/plan.ts";
import { type Command, main } from "./command.ts";
import { write } from "./host.ts";
import { largestContext } from "./largest_context.ts";
import { headerOf, type Shape, SHAPES, type Storage, STORAGES } from "./shapes.ts";
import { formatBytes } from "./units.ts";

/** What a platform leaves to a model: the rest is the runtime's, the program's and the heap's. */
const PLATFORMS = [
  { name: "Workers", limit: "128 MB", maxBytes: 100e6 },
  { name: "Deno Deploy", limit: "512 MB", maxBytes: 400e6 },
  { name: "Browsers, Node, Bun, Deno", limit: "4 GiB", maxBytes: 4e9 },
] as const;

/** Two ways to hold a text. */
const CACHES: readonly { readonly name: string; readonly options: PlanOptions }[] = [
  { name: "all kept, q8_0", options: { kvType: "q8_0" } },
  { name: "all kept, q4_0", options: { kvType: "q4_0" } },
  { name: "1,024 slots, q8_0", options: { kvType: "q8_0", policy: "keyformer", budget: 1024 } },
];

const MODELS: readonly (readonly [Shape, Storage])[] = [
  [SHAPES.smol135, STORAGES.pureQ4],
  [SHAPES.smol135, STORAGES.q4],
  [SHAPES.smol135, STORAGES.q8],
  [SHAPES.smol360, STORAGES.q4],
  [SHAPES.smol360, STORAGES.q8],
  [SHAPES.qwen05, STORAGES.q4],
  [SHAPES.llama1, STORAGES.q4],
  [SHAPES.llama1, STORAGES.q8],
];

/** A context of less is of no use. */
const LEAST_CONTEXT = 256;

const command: Command = {
  name: "platforms",
  summary:
    "Shows which well-known models fit into which platform, with the longest context, from their shapes.",
  options: { "json": { help: "Print one JSON array instead" } },
  example: "deno task platforms --json",

  run(args): Promise<void> {
    const rows = MODELS.map(([shape, storage]) => rowOf(shape, storage));
    write(args.on("json") ? JSON.stringify(rows) + "\n" : table(rows));
    return Promise.resolve();
  },
};

interface Row {
  readonly model: string;
  readonly weights: string;
  /** Bytes of the matrices in memory. */
  readonly weightBytes: number;
  readonly nContext: number;
  /** By platform and cache: the longest context in tokens; 0: it does not fit. */
  readonly contexts: readonly {
    readonly platform: string;
    readonly cache: string;
    readonly context: number;
  }[];
}

function rowOf(shape: Shape, storage: Storage): Row {
  const header = headerOf(shape, storage);
  const { regions } = planModel(header, { context: 1 });
  return {
    model: shape.name,
    weights: storage.name,
    weightBytes: regions.find(({ name }) => name === "weights")!.bytes,
    nContext: shape.nContext,
    contexts: PLATFORMS.flatMap(({ name, maxBytes }) =>
      CACHES.map((cache) => ({
        ...{ platform: name, cache: cache.name },
        context: usefulContext(header, cache.options, maxBytes),
      }))
    ),
  };
}

function usefulContext(header: GgufModel, options: PlanOptions, maxBytes: number): number {
  const context = largestContext(header, options, maxBytes);
  return context < LEAST_CONTEXT ? 0 : context;
}

/** Markdown, one row a model. */
function table(rows: readonly Row[]): string {
  const platforms = PLATFORMS.map(({ name, limit, maxBytes }) =>
    `${name}: ${formatBytes(maxBytes)} of ${limit}`
  );
  const lines = [
    ["model", "weights", ...platforms],
    ["---", "---", ...platforms.map(() => "---")],
    ...rows.map(({ model, weights, weightBytes, nContext, contexts }) => [
      model,
      `${weights}: ${formatBytes(weightBytes)}`,
      ...PLATFORMS.map(({ name }) => {
        const found = contexts.filter(({ platform }) => platform === name);
        return found.map(({ context }) => cell(context, nContext)).join(" · ");
      }),
    ]),
  ];
  const caches = CACHES.map(({ name }) => name).join(" · ");
  return `Longest context in tokens (all: the model's own), ${caches}:\n\n${
    lines.map((cells) => `| ${cells.join(" | ")} |\n`).join("")
  }`;
}

function cell(context: number, nContext: number): string {
  if (context === 0) return "–";
  return context === nContext ? "all" : context.toLocaleString("en");
}

if (import.meta.main) await main(command);
