/**
 * The commands that docs/policies.md recommends run as they stand there, on the bundled model.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { run } from "../cli/run.ts";
import { withChatTemplate } from "../cli/templated.ts";
import { LONG_TEXT } from "../generate/bundled.ts";

const GUIDE = new URL("../../docs/policies.md", import.meta.url);

/** Command lines of the guide's section, each as its words. */
async function recommended(): Promise<string[][]> {
  const [, section] = (await Deno.readTextFile(GUIDE)).split(/^## Which to take$|^## What they have/m);
  const lines = [...section.matchAll(/^```sh\n([^]*?)^```$/gm)].flatMap(([, block]) =>
    block.replaceAll("\\\n", " ").trim().split("\n")
  );
  return lines.map((line) =>
    [...line.replace(/\s#.*$/, "").matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare)
  );
}

/** Files that the commands name, by the names they have there. */
async function withFiles(use: (named: ReadonlyMap<string, string>) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const path = (name: string) => [name, `${folder}/${name}`] as const;
  const named = new Map(["book.txt", "book.kv", "module.py", "MODEL"].map(path));
  try {
    for (const name of ["book.txt", "module.py"]) await Deno.writeTextFile(named.get(name)!, LONG_TEXT);
    await Deno.writeFile(named.get("MODEL")!, await withChatTemplate());
    await use(named);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("each command that the guide recommends runs", async (t) => {
  const commands = await recommended();
  assert(commands.length >= 6);
  await withFiles(async (named) => {
    for (const [deno, task, name, ...words] of commands) {
      assertEquals([deno, task], ["deno", "task"]);
      const line = [name, ...words].join(" ");
      await t.step(line, async () => {
        const { code, stdout, stderr } = await run(
          name,
          words.map((word) => named.get(word) ?? word),
          name === "chat" ? "Who was Edward?\n/exit\n" : "",
        );
        assertEquals(code, 0, stderr);
        assert(stdout.length > 0);
      });
    }
  });
});
