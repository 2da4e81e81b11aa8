/**
 * The AI SDK on our package as it is installed. Run with the URL of the folder that it is installed in and the path of the
 * bundled model, prints what it got as JSON.
 */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { generateText, streamText } from "ai";

const [app, path] = process.argv.slice(2);
const { resolve } = createRequire(new URL("package.json", app));
const { loadModel } = await import(pathToFileURL(resolve("@locket/locket")));
const { locket } = await import(pathToFileURL(resolve("@locket/locket/ai-sdk")));

const chatTemplate = "{% for message in messages %}{{ message.content }}{% endfor %}";
const model = locket(await loadModel(path, { context: 512 }), { chatTemplate });
const call = { model, prompt: "The old house", maxOutputTokens: 12, temperature: 0, maxRetries: 0 };

const { text, finishReason, usage } = await generateText(call);
let streamed = "";
for await (const piece of streamText(call).textStream) streamed += piece;
const four = await Promise.all([1, 2, 3, 4].map(async () => (await generateText(call)).text));
const abortSignal = AbortSignal.timeout(20);
const aborted = await generateText({ ...call, maxOutputTokens: 400, abortSignal }).then(
  () => "answered",
  () => "rejected",
);
const { warnings } = await model.doGenerate({
  prompt: [{ role: "user", content: [{ type: "text", text: "x" }] }],
  maxOutputTokens: 1,
  responseFormat: { type: "json" },
});

console.log(JSON.stringify({
  text,
  streamed,
  finishReason,
  usage: [usage.inputTokens, usage.outputTokens],
  four,
  aborted,
  warned: warnings.map(({ feature }) => feature),
}));
