/**
 * Serves a Worker in the real workerd until standard input ends. Started by `worker.ts` with one argument, a JSON object:
 * `{ modules: [{ type, path, file }], compatibilityDate, compatibilityFlags, bindings, r2: { BUCKET: { key: file } },
 * assets: { directory, binding } }`. Prints `{ url, inspector, pid }` in one line when it is ready.
 */
import { readFile } from "node:fs/promises";
import { readdirSync, readFileSync } from "node:fs";
import { Miniflare } from "miniflare";

const { modules, r2 = {}, assets, ...options } = JSON.parse(process.argv[2]);

const worker = new Miniflare({
  port: 0,
  inspectorPort: 0,
  modules: await Promise.all(
    modules.map(async ({ type, path, file }) => ({ type, path, contents: await readFile(file) })),
  ),
  r2Buckets: Object.keys(r2),
  // every request goes to the Worker, which asks for assets by their binding
  ...(assets &&
    {
      assets: {
        ...assets,
        routerConfig: { has_user_worker: true, invoke_user_worker_ahead_of_assets: true },
      },
    }),
  ...options,
});
const url = await worker.ready;
for (const [binding, objects] of Object.entries(r2)) {
  const bucket = await worker.getR2Bucket(binding);
  for (const [key, file] of Object.entries(objects)) {
    await bucket.put(key, await readFile(file));
  }
}
const inspector = await worker.getInspectorURL();
console.log(JSON.stringify({ url: url.href, inspector: inspector.href, pid: childOf(process.pid) }));

process.stdin.on("end", () => worker.dispose()).resume();

/** The process of workerd, the only child. */
function childOf(parent) {
  return readdirSync("/proc").map(Number).find((pid) => {
    try {
      return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) === parent;
    } catch {
      return false;
    }
  });
}
