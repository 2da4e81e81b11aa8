/** Runs a command as its task does: the same line of `deno.json`, in a process of its own. */
import { assertEquals, assertMatch } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);
const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT))) as {
  tasks: Record<string, string>;
};

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param input What is typed into standard input. */
export async function run(name: string, args: readonly string[] = [], input = ""): Promise<Outcome> {
  const [deno, ...line] = tasks[name].split(" ");
  assertEquals(deno, "deno");
  const child = new Deno.Command(Deno.execPath(), {
    args: [...line, ...args],
    cwd: ROOT,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input)).catch(() => {});
  await writer.close().catch(() => {});
  const { code, stdout, stderr } = await child.output();
  return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}

/** Runs a command that is to succeed without a word on standard error. */
export async function succeed(name: string, args: readonly string[] = [], input = ""): Promise<string> {
  const { code, stdout, stderr } = await run(name, args, input);
  assertEquals([code, stderr], [0, ""], `deno task ${name} ${args.join(" ")}`);
  return stdout;
}

/** The one JSON object that a command prints. */
// deno-lint-ignore no-explicit-any
export async function json(name: string, args: readonly string[] = []): Promise<any> {
  return JSON.parse(await succeed(name, [...args, "--json"]));
}

/** Runs a command that is to fail: exit code 1, nothing on standard output, one line on standard error. */
export async function fail(name: string, args: readonly string[], wanted: RegExp): Promise<void> {
  const { code, stdout, stderr } = await run(name, args);
  assertMatch(stderr, /^error: [^\n]+\n$/, `deno task ${name} ${args.join(" ")}`);
  assertMatch(stderr, wanted);
  assertEquals([code, stdout], [1, ""]);
}

/** Calls `use` with the path of a temporary file of these bytes. */
export async function withFile(
  content: string | Uint8Array,
  use: (path: string) => Promise<void>,
  suffix = ".txt",
): Promise<void> {
  const path = await Deno.makeTempFile({ suffix });
  try {
    await Deno.writeFile(path, typeof content === "string" ? new TextEncoder().encode(content) : content);
    await use(path);
  } finally {
    await Deno.remove(path);
  }
}
