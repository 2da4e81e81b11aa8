/**
 * The command lines of benches, plots and builds: help that names every flag, and no flag beside those.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { run } from "../tools/tools.ts";

const ROOT = new URL("../../", import.meta.url);

/** Files of a folder that read their arguments by `parseArgs`. */
async function commandsIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of Deno.readDir(new URL(folder, ROOT))) {
    if (!name.endsWith(".ts")) continue;
    const source = await Deno.readTextFile(new URL(folder + name, ROOT));
    if (/\bDeno\.args\b/.test(source)) found.push(folder + name);
  }
  return found.sort();
}

const FOLDERS = ["bench/", "bench/kernels/", "bench/peers/", "packaging/", "wasm-kernels/"];
const commands = (await Promise.all(FOLDERS.map(commandsIn))).flat();

/** Flags that a source declares, but those that it alone gives to its own processes. */
function flagsOf(source: string): string[] {
  const [call] = /parseArgs\([^]*?\}\)/.exec(source) ?? [""];
  const lists = [...call.matchAll(/(?:string|boolean): (\[[^]*?\]),?\n/g)];
  return lists.flatMap(([, list]) => [...list.matchAll(/"([\w-]+)"/g)].map(([, name]) => name))
    .filter((name) => name !== "_" && name !== "child");
}

Deno.test("there are benches, plots and builds to ask", () => assert(commands.length > 20, commands.join()));

for (const command of commands) {
  Deno.test(`${command} --help tells its flags, and another flag is refused`, async () => {
    const line = [Deno.execPath(), "run", "--no-check", "-A", "--config", "deno.json", command];
    const ask = (flag: string) => run([...line, flag], { cwd: ROOT });
    const source = await Deno.readTextFile(new URL(command, ROOT));
    const help = await ask("--help");
    assertEquals([help.success, help.stderr], [true, ""]);
    assertMatch(help.stdout, /^ {2,}deno (run|task) [^\n]+/m);
    for (const flag of flagsOf(source)) assertStringIncludes(help.stdout, `--${flag}`);
    const refused = await ask("--no-such-flag");
    assertEquals(
      [refused.success, refused.stdout, refused.stderr],
      [false, "", "error: there is no --no-such-flag; see --help\n"],
    );
  });
}
