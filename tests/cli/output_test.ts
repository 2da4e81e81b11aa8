/** Files that commands write: a place that can't be written is named before any work is done, and nothing is left there. */
import { assertEquals } from "@std/assert";
import { fail, succeed, withFile } from "./run.ts";

const CASES: readonly (readonly [command: string, option: string, ...rest: string[]])[] = [
  ["generate", "save", "--prompt", "The old house", "--max-tokens", "4"],
  ["squeeze", "out", "--prefix-file", "LICENSE", "--read", "squeezed:window=32"],
  ["calibrate", "out", "--text-file", "README.md", "--tokens", "512", "--window", "256"],
  ["inspect-cache", "html", "--prompt", "The old house"],
  ["shard", "out", "models/locket-books-q8_0.gguf"],
];

for (const [command, option, ...rest] of CASES) {
  Deno.test(`${command} says at once that --${option} can't be written`, async () => {
    await withFile("a file", async (file) => {
      const wanted = new RegExp(
        `^error: --${option} is .*, wanted a (file|folder) that can be (written|made): `,
      );
      await fail(command, [...rest, `--${option}`, `${file}/within`], wanted);
    });
    if (command === "shard") return;
    const folder = await Deno.makeTempDir();
    await fail(command, [...rest, `--${option}`, folder], /there is a folder of this name/);
    assertEquals([...Deno.readDirSync(folder)], []);
    await Deno.remove(folder);
  });
}

Deno.test("what was written is there, whole and alone", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/cache.html`;
  for (let again = 0; again < 2; again++) {
    await succeed("inspect-cache", ["--prompt", "The old house", "--html", path]);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["cache.html"]);
  }
  await Deno.remove(folder, { recursive: true });
});

Deno.test("shard cuts nothing but whole models", async () => {
  const folder = await Deno.makeTempDir();
  const out = ["--out", `${folder}/shards`];
  await withFile("", (path) => fail("shard", [path, ...out], /the file ends at byte 0/));
  await withFile("hello, this is text", (path) => fail("shard", [path, ...out], /no GGUF file/));
  const model = await Deno.readFile(new URL("../../models/locket-books-q8_0.gguf", import.meta.url));
  await withFile(model.subarray(0, 3e6), (path) => fail("shard", [path, ...out], /but the file has 3000000/));
  await fail("shard", [`${folder}/absent.gguf`, ...out], /can't be opened.*check the path/);
  await fail("shard", [folder, ...out], /directory/i);
  await fail("shard", ["", ...out], /the argument is ""/);
  assertEquals([...Deno.readDirSync(folder)], []);
  await Deno.remove(folder);
});
