/**
 * Fills the parts of the documents that come from elsewhere: between `<!-- from X -->` and `<!-- end -->` stands the code
 * of an example, without its first comment, or what a task prints.
 *
 *   deno task docs            # writes them
 *   deno task docs --check    # fails, and names the documents that would change
 */
import { parseArgs } from "@std/cli/parse-args";
import { commandLine } from "../bench/usage.ts";

const { unknown } = commandLine(import.meta.url);
const { check } = parseArgs(Deno.args, { boolean: ["check"], unknown });

const root = new URL("../", import.meta.url);
const DOCUMENTS = ["README.md", "docs/edge.md"];

const PART = /<!-- from (.+?) -->\n(?:(?!<!-- )[\s\S])*?<!-- end -->/g;

const run = async (args: readonly string[], input?: string): Promise<string> => {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: root,
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input ?? ""));
  await writer.close();
  const { success, stdout } = await child.output();
  if (!success) throw new Error(`deno ${args.join(" ")} failed`);
  return new TextDecoder().decode(stdout);
};

const format = (text: string) => run(["fmt", "--config", "deno.json", "--ext", "md", "-"], text);

async function contentOf(origin: string): Promise<string> {
  if (!origin.startsWith("examples/")) return await run(origin.replace(/^deno /, "").split(" "));
  const code = (await Deno.readTextFile(new URL(origin, root))).replace(/^\/\*\*.*?\*\/\n/s, "");
  return `\`\`\`${origin.split(".").at(-1)} ignore\n${code}\`\`\`\n`;
}

const contents = new Map<string, string>();
const changed: string[] = [];
for (const path of DOCUMENTS) {
  const url = new URL(path, root);
  const before = await Deno.readTextFile(url);
  for (const [, origin] of before.matchAll(PART)) {
    contents.set(origin, contents.get(origin) ?? await contentOf(origin));
  }
  const filled = before.replace(
    PART,
    (_, origin) => `<!-- from ${origin} -->\n\n${contents.get(origin)}\n<!-- end -->`,
  );
  const after = await format(filled);
  if (after === await format(before)) continue;
  changed.push(path);
  if (!check) await Deno.writeTextFile(url, after);
}
if (check && changed.length > 0) {
  console.error(`deno task docs would change ${changed.join(", ")}`);
  Deno.exit(1);
}
