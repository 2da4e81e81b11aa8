/** Continues a text: `node main.js MODEL PROMPT`, in Node 22 or later, or in Bun. */
import process from "node:process";
import { generate, loadModel } from "@locket/locket";

const [path, prompt] = process.argv.slice(2);
const model = await loadModel(path, { context: 1024, maxBytes: 512e6 });
for await (const { text } of generate(model, prompt, { maxTokens: 64 })) process.stdout.write(text);
process.stdout.write("\n");
model.dispose();
