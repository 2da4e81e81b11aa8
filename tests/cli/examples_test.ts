/** The example in each command's help does what it says, as it stands. */
import { assert } from "@std/assert";
import { succeed } from "./run.ts";

const COMMANDS = [
  ...["demo", "generate", "score", "logits", "tokenize", "inspect", "plan", "platforms", "policies"],
  ...["inspect-cache", "squeeze", "calibrate", "shard"],
];

for (const name of COMMANDS) {
  Deno.test(`the example of ${name} --help works`, async () => {
    const example = /^Example: deno task (.*)$/m.exec(await succeed(name, ["--help"]))![1];
    const [command, ...args] = example.match(/"[^"]*"|\S+/g)!.map((word) => word.replace(/^"(.*)"$/, "$1"));
    assert(command === name);
    const folder = await Deno.makeTempDir();
    const output = args.findIndex((arg) => arg === "--out" || arg === "--html");
    if (output >= 0) args[output + 1] = `${folder}/${args[output + 1]}`;
    await succeed(name, args);
    if (output >= 0) await Deno.stat(args[output + 1]);
    await Deno.remove(folder, { recursive: true });
  });
}
