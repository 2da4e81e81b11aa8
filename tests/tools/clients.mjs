/**
 * The clients that people use, as they are, against a server of ours. Run with its URL, prints what each got as JSON.
 */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { embedMany, generateObject, generateText, jsonSchema, streamObject, streamText, tool } from "ai";
import OpenAI from "openai";

const [url] = process.argv.slice(2);
const settings = { apiKey: "key", baseURL: `${url}/v1` };
const model = "locket-books";
const messages = [{ role: "user", content: "The old house" }];
const sampling = { max_tokens: 12, temperature: 0 };
const results = {};

/** What replies and calls are held to; the model knows nothing of either. */
const schema = {
  type: "object",
  properties: { city: { type: "string", maxLength: 12 }, days: { type: "integer", minimum: 1, maximum: 9 } },
  required: ["city", "days"],
  additionalProperties: false,
};
const isForecast = ({ city, days, ...more }) =>
  city.length <= 12 && days >= 1 && days <= 9 && Object.keys(more).length === 0;
const room = { max_tokens: 200, temperature: 1, seed: 4 };

const openai = new OpenAI(settings);
results.models = (await openai.models.list()).data.map(({ id }) => id);
results.openai =
  (await openai.chat.completions.create({ model, messages, ...sampling })).choices[0].message.content;

let text = "";
const stream = await openai.chat.completions.create({
  ...{ model, messages, ...sampling, stream: true, stream_options: { include_usage: true } },
});
for await (const { choices: [choice], usage } of stream) {
  text += choice?.delta.content ?? "";
  results.openaiUsage = usage?.completion_tokens;
}
results.openaiStream = text;
results.openaiCompletion =
  (await openai.completions.create({ model, prompt: "The old house", ...sampling })).choices[0].text;
results.openaiSdkHelper = await openai.chat.completions.stream({ model, messages, ...sampling })
  .finalContent();

const response_format = { type: "json_schema", json_schema: { name: "forecast", strict: true, schema } };
const parsed = await openai.chat.completions.parse({ model, messages, ...room, response_format });
results.openaiSchema = isForecast(parsed.choices[0].message.parsed);
const forecast = { name: "forecast", description: "Weather to come", parameters: schema };
const tools = [{ type: "function", function: forecast }];
const calling = { model, messages, ...room, tools, tool_choice: "required", parallel_tool_calls: false };
const { message, finish_reason } = (await openai.chat.completions.create(calling)).choices[0];
results.openaiTool = [
  finish_reason,
  ...message.tool_calls.map(({ function: call }) => isForecast(JSON.parse(call.arguments))),
];
const finalCall = await openai.chat.completions.stream(calling).finalFunctionToolCall();
results.openaiToolStream = finalCall.arguments === message.tool_calls[0].function.arguments;
// the result goes back as a message
const answered = [...messages, message, {
  role: "tool",
  tool_call_id: message.tool_calls[0].id,
  content: "Rain",
}];
results.openaiToolResult = typeof (await openai.chat.completions.create({
  ...{ model, messages: answered, tools, tool_choice: "none", ...sampling },
})).choices[0].message.content;
const vectors = await openai.embeddings.create({ model, input: ["the sea", "the ocean"] });
results.openaiEmbeddings = vectors.data.map(({ embedding }) => embedding.length);

const aborted = await openai.chat.completions.create({ model, messages, max_tokens: 400, stream: true });
for await (const _ of aborted) {
  aborted.controller.abort();
  break;
}
const status = (promise) => promise.then(() => 200, (error) => [error.status, error.code, error.name]);
results.wrongKey = await status(new OpenAI({ ...settings, apiKey: "wrong" }).models.list());
results.tooLong = await status(openai.completions.create({ model, prompt: "x ".repeat(900), ...sampling }));

// six at once against one sequence and a queue of one: whoever is sent away with 429 tries again by itself
const patient = new OpenAI({ ...settings, maxRetries: 20 });
const many = Array.from(
  { length: 6 },
  () => patient.completions.create({ model, prompt: "It was late", max_tokens: 40 }),
);
results.retried = (await Promise.all(many)).length;

const provider = createOpenAICompatible({
  name: "locket",
  supportsStructuredOutputs: true,
  apiKey: "key",
  baseURL: settings.baseURL,
  includeUsage: true,
});
const ai = { model: provider(model), prompt: "The old house", temperature: 0, maxOutputTokens: 12 };
results.ai = (await generateText(ai)).text;
const streamed = streamText(ai);
text = "";
for await (const piece of streamed.textStream) text += piece;
results.aiStream = text;
results.aiUsage = (await streamed.usage).outputTokens;

const long = { ...ai, temperature: 1, maxOutputTokens: 200, seed: 4 };
const wanted = { ...long, schema: jsonSchema(schema) };
results.aiObject = isForecast((await generateObject(wanted)).object);
let object;
for await (const partial of streamObject(wanted).partialObjectStream) object = partial;
results.aiObjectStream = isForecast(object);
const aiTools = { forecast: tool({ description: "Weather to come", inputSchema: jsonSchema(schema) }) };
const toolCalls =
  (await generateText({ ...long, tools: aiTools, toolChoice: { type: "tool", toolName: "forecast" } }))
    .toolCalls;
results.aiTool = toolCalls.map(({ toolName, input }) => [toolName, isForecast(input)]);
const streamedCalls = [];
for await (
  const part of streamText({ ...long, tools: aiTools, toolChoice: { type: "tool", toolName: "forecast" } })
    .fullStream
) {
  if (part.type === "tool-call") streamedCalls.push(part);
}
results.aiToolStream = streamedCalls.map(({ toolName, input }) => [toolName, isForecast(input)]);
results.aiEmbeddings =
  (await embedMany({ model: provider.embeddingModel(model), values: ["the sea", "the ocean"] }))
    .embeddings.map(({ length }) => length);

const chat = new ChatOpenAI({
  ...{ model, temperature: 0, maxTokens: 12, apiKey: "key", configuration: { baseURL: settings.baseURL } },
});
results.langchain = (await chat.invoke("The old house")).content;
text = "";
for await (const chunk of await chat.stream("The old house")) text += chunk.content;
results.langchainStream = text;

const hot = new ChatOpenAI({
  ...{ model, temperature: 1, maxTokens: 200, apiKey: "key", configuration: { baseURL: settings.baseURL } },
  modelKwargs: { seed: 4 },
});
const structured = hot.withStructuredOutput(schema, { name: "forecast", method: "jsonSchema" });
results.langchainSchema = isForecast(await structured.invoke("The old house"));
const { tool_calls } = await hot.bindTools(tools, { tool_choice: "required", parallel_tool_calls: false })
  .invoke("The old house");
results.langchainTool = tool_calls.map(({ name, args }) => [name, isForecast(args)]);
const embeddings = new OpenAIEmbeddings({
  model,
  apiKey: "key",
  configuration: { baseURL: settings.baseURL },
});
results.langchainEmbeddings = (await embeddings.embedDocuments(["the sea", "the ocean"])).map(({ length }) =>
  length
);

// the same of the others: the one sequence and the one place in line are taken, what they ask for is sent away once
const told = async (pattern) => {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(pattern.exec(text)?.[1] ?? 0);
};
const refused = () => told(/requests_total\{route="\/v1\/chat\/completions",status="429"\} (\d+)/);
const endless = {
  type: "json_schema",
  json_schema: { name: "long", schema: { type: "string", minLength: 9999 } },
};
const occupying = { model, prompt: "It was late", max_tokens: 450, response_format: endless };
for (
  const [name, ask] of [["ai", () => generateText(ai)], ["langchain", () => chat.invoke("The old house")]]
) {
  const before = await refused();
  const busy = [1, 2].map(() => openai.completions.create(occupying));
  let over = false;
  void Promise.all(busy).finally(() => over = true);
  while (!over && await told(/requests_waiting (\d+)/) === 0);
  await ask();
  results[`${name}Retried`] = await refused() > before;
  await Promise.all(busy);
}

console.log(JSON.stringify(results));
