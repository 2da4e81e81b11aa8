import { assert, assertEquals } from "@std/assert";
import { denoKvSessions } from "../../src/stores/deno_kv.ts";
import { bytesOf, checkContract, tested } from "./contract.ts";
import { killedSaves } from "./killed.ts";

const SAVER = new URL("save_forever.ts", import.meta.url);

// The task runs the tests without `--unstable-kv`: this file starts itself anew with it.
if (typeof Deno.openKv !== "function") {
  Deno.test("denoKvSessions, in a process with --unstable-kv", async () => {
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["test", "-A", "--no-check", "--unstable-kv", "--config", "deno.json"],
        new URL(import.meta.url).pathname,
      ],
      env: { NO_COLOR: "1" },
    }).output();
    const text = new TextDecoder().decode(stdout);
    assert(success, text + new TextDecoder().decode(stderr));
    console.log(text.split("\n").filter((line) => line.includes("saves,")).join("\n"));
  });
} else {
  const open = async (path: string) => {
    const kv = await Deno.openKv(path);
    const keys = async () => {
      const found = [];
      for await (const { key } of kv.list({ prefix: [] })) found.push(key);
      return found;
    };
    return { kv, store: tested(denoKvSessions(kv)), keys };
  };

  Deno.test("denoKvSessions keeps the contract, and leaves no chunk behind", async () => {
    const { kv, store, keys } = await open(":memory:");
    await checkContract(store);
    await store.put("one", bytesOf(100_000, 1));
    assertEquals((await keys()).map((key) => key.length), [2, 4, 4, 2, 4]);
    await store.delete("one");
    await store.delete("two");
    assertEquals(await keys(), []);
    kv.close();
  });

  Deno.test("denoKvSessions survives SIGKILL at any moment of a save, and clears up what was left", async () => {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/kv`;
    const killed = await killedSaves({
      args: ["run", "-A", "--no-check", "--unstable-kv", "--config", "deno.json", SAVER.pathname, "kv", path],
      kills: 8,
      async read() {
        const { kv, store } = await open(path);
        const found = await store.get("one");
        kv.close();
        return found;
      },
    });
    console.log(`      ${killed.saves} saves, ${killed.kills} kills, ${killed.left} of them within a save`);
    const { kv, store, keys } = await open(path);
    await store.put("one", bytesOf(10, 1));
    assertEquals((await keys()).length, 2);
    kv.close();
    await Deno.remove(folder, { recursive: true });
  });
}
