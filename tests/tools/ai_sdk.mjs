/**
 * The AI SDK on our package as it is installed. Run with the URL of the folder that it is installed in and the path of the
 * bundled model, prints what it got as JSON.
 */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

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
  tools: [{ type: "provider", id: "x.search", name: "search", args: {} }],
});

const schema = {
  type: "object",
  properties: { city: { type: "string", maxLength: 12 } },
  required: ["city"],
  additionalProperties: false,
};
const isPlace = ({ city, ...more }) => city.length <= 12 && Object.keys(more).length === 0;
const long = { ...call, temperature: 1, seed: 1, maxOutputTokens: 160 };
const { object } = await generateObject({ ...long, schema: jsonSchema(schema) });
const asked = [];
const weather = tool({
  description: "The weather now",
  inputSchema: jsonSchema(schema),
  execute: (input) => asked.push(isPlace(input)) && "3 degrees",
});
const calling = { ...long, tools: { weather }, toolChoice: { type: "tool", toolName: "weather" } };
// the second step reads the result of the first
const { steps } = await generateText({ ...calling, stopWhen: stepCountIs(2) });
let streamedCalls = 0;
for await (const part of streamText(calling).fullStream) {
  if (part.type === "tool-call" && isPlace(part.input)) streamedCalls++;
}

console.log(JSON.stringify({
  text,
  streamed,
  finishReason,
  usage: [usage.inputTokens, usage.outputTokens],
  four,
  aborted,
  object: isPlace(object),
  steps: steps.map(({ finishReason }) => finishReason),
  asked: asked.length === 3 && asked.every(Boolean),
  streamedCalls: streamedCalls > 0,
  warned: warnings.map(({ feature }) => feature),
}));
