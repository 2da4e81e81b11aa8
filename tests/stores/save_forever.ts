/** Saves one snapshot after the other until it is killed: `save_forever.ts files|kv PATH SEED`. */
import { denoKvSessions } from "../../src/stores/deno_kv.ts";
import { fileSessions } from "../../src/stores/files.ts";
import { tested } from "./contract.ts";
import { snapshotOf } from "./killed.ts";

const [kind, path, first] = Deno.args;
const store = tested(kind === "files" ? fileSessions(path) : denoKvSessions(await Deno.openKv(path)));
for (let seed = Number(first);; seed++) {
  const bytes = snapshotOf(seed);
  console.log(`begin ${seed}`);
  await store.put("one", bytes);
  console.log(`end ${seed}`);
}
