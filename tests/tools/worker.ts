/**
 * A Worker as it runs in production: bundled with our installed package, in the real workerd.
 *
 * @module
 */
import { bundleApp, installedApp, tool } from "./tools.ts";

/** What a Worker is bound to. */
export interface WorkerOptions {
  /** Further modules by the name they are imported by: files that arrive as an `ArrayBuffer`. */
  readonly data?: Readonly<Record<string, URL>>;
  readonly compatibilityDate?: string;
  readonly compatibilityFlags?: readonly string[];
  readonly bindings?: Readonly<Record<string, unknown>>;
  /** Buckets with the files that lie in them. */
  readonly r2?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly kvNamespaces?: readonly string[];
  /** Folders in which KV and caches outlive the Worker; without them they are new each time. */
  readonly kvPersist?: string;
  readonly cachePersist?: string;
  readonly r2Persist?: string;
  /** Durable Objects by binding, and the folder in which they outlive the Worker. */
  readonly durableObjects?: Readonly<
    Record<string, { readonly className: string; readonly useSQLite: true }>
  >;
  readonly durableObjectsPersist?: string;
  /** A folder of static assets, bound as `ASSETS`. */
  readonly assets?: { readonly directory: string; readonly binding: string };
}

/** A Worker that serves. */
export interface ServedWorker extends AsyncDisposable {
  readonly url: string;
  /** WebSocket of its inspector. */
  readonly inspector: string;
  /** Process of workerd. */
  readonly pid: number;
  /** Ends it as a failing machine does: nothing is written any more. */
  crash(): void;
}

/** Whether workerd runs on this machine; says so aloud where not. */
export async function hasWorkerd(): Promise<boolean> {
  return await tool("workerd") !== undefined && await tool("node") !== undefined;
}

/** Scripts that have been bundled, by their entry. */
const bundled = new Map<string, Promise<string>>();

/** Bundles a Worker and serves it on loopback. */
export async function serveWorker(entry: URL, options: WorkerOptions = {}): Promise<ServedWorker> {
  const { data = {}, compatibilityDate = "2026-07-01", ...more } = options;
  const app = await installedApp();
  const script = bundled.get(entry.href) ?? bundleApp(entry, ["workerd", "worker", "browser"]);
  bundled.set(entry.href, script);
  const scriptFile = await Deno.makeTempFile({ suffix: ".js" });
  await Deno.writeTextFile(scriptFile, await script);
  const wasm = (name: string) =>
    new URL(`node_modules/@locket/locket/src/kernels/wasm/${name}.wasm`, app).pathname;
  // imports are kept as written in our package, relative to its own folder
  const modules = [
    { type: "ESModule", path: "src/entry/worker.js", file: scriptFile },
    { type: "CompiledWasm", path: "src/kernels/wasm/simd128.wasm", file: wasm("simd128") },
    { type: "CompiledWasm", path: "src/kernels/wasm/relaxed.wasm", file: wasm("relaxed") },
    ...Object.entries(data).map(([path, file]) => ({ type: "Data", path, file: file.pathname })),
  ];
  const node = await tool("node");
  const child = new Deno.Command(node!, {
    args: [
      new URL("serve_worker.mjs", import.meta.url).pathname,
      JSON.stringify({ modules, compatibilityDate, ...more }),
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { done, value } = await lines.read();
    if (done) throw new Error(`workerd did not start: ${text}`);
    text += value;
  }
  const served = JSON.parse(text.split("\n", 1)[0]);
  return {
    ...served,
    crash() {
      Deno.kill(served.pid, "SIGKILL");
      child.kill("SIGKILL");
    },
    async [Symbol.asyncDispose]() {
      // of a process that has crashed it can't be closed
      await child.stdin.close().catch(() => {});
      while (!(await lines.read()).done);
      await child.status;
      await Deno.remove(scriptFile);
    },
  };
}
