import { assert, assertEquals } from "@std/assert";
import { LONG_TEXT } from "../generate/bundled.ts";
import { fail, json, withFile } from "./run.ts";

Deno.test("calibrate writes codebooks that generate and plan read, and refuses what it can't learn from", async () => {
  const folder = await Deno.makeTempDir();
  const out = `${folder}/small.cq8`;
  try {
    await withFile(LONG_TEXT.repeat(2), async (path) => {
      const learn = ["--text-file", path, "--window", "256", "--tokens", "512", "--channels", "8"];
      const { file, bytes, channels } = await json("calibrate", [...learn, "--out", out]);
      assertEquals([file, channels, (await Deno.stat(out)).size], [out, 8, bytes]);
      await fail("calibrate", [...learn, "--window", "4096", "--out", out], /context/);
      await fail("calibrate", [...learn, "--weights", "all", "--out", out], /fisher, attention, none/);
    });
    const storage = ["--storage", "cq:channels=8", "--calibration", out];
    const { cache } = await json("generate", ["--prompt", LONG_TEXT, "--max-tokens", "4", ...storage]);
    assertEquals([cache.storage, cache.storage_params.channels], ["cq", "8"]);
    // 4 layers, 2 KV heads, keys and values of 64 channels, 256 halves for each.
    assertEquals(cache.codebook_bytes, 4 * 2 * 128 * 256 * 2);
    const { regions } = await json("plan", storage);
    const tables = regions.find(({ name }: { name: string }) => name === "tables").bytes;
    assert(tables > cache.codebook_bytes);
    const other = ["--prompt", "It was", "--storage", "cq:channels=2"];
    await fail("generate", [...other, "--calibration", out], /channels/);
    await fail("generate", [...other, "--calibration", `${out}.absent`], /--calibration .* can be read/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
