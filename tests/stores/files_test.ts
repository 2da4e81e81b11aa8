import { assertEquals } from "@std/assert";
import { fileSessions } from "../../src/stores/files.ts";
import { assertSame, bytesOf, checkContract, tested } from "./contract.ts";
import { killedSaves } from "./killed.ts";

const SAVER = new URL("save_forever.ts", import.meta.url);
const entries = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();

Deno.test("fileSessions keeps the contract, and leaves nothing but its files", async () => {
  const folder = await Deno.makeTempDir();
  await checkContract(tested(fileSessions(`${folder}/sessions`)));
  assertEquals(entries(`${folder}/sessions`), ["one.session", "two.session"]);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("fileSessions survives SIGKILL at any moment of a save, and clears up what was left", async () => {
  const folder = await Deno.makeTempDir();
  const kills = await killedSaves({
    args: ["run", "-A", "--no-check", "--config", "deno.json", SAVER.pathname, "files", folder],
    kills: 8,
    read: () => tested(fileSessions(folder)).get("one"),
  });
  console.log(`      ${kills.saves} saves, ${kills.kills} kills, ${kills.left} of them within a save`);
  for (const name of entries(folder).filter((name) => name.endsWith(".part"))) {
    await Deno.utime(`${folder}/${name}`, 0, 0);
  }
  const store = tested(fileSessions(folder));
  await store.put("one", bytesOf(10, 1));
  assertSame(await store.get("one"), bytesOf(10, 1));
  assertEquals(entries(folder), ["one.session"]);
  await Deno.remove(folder, { recursive: true });
});
