/**
 * The clients that people use, as they are, against a server of ours. Run with its URL, prints what each got as JSON.
 */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { ChatOpenAI } from "@langchain/openai";
import { generateText, streamText } from "ai";
import OpenAI from "openai";

const [url] = process.argv.slice(2);
const settings = { apiKey: "key", baseURL: `${url}/v1` };
const model = "locket-books";
const messages = [{ role: "user", content: "The old house" }];
const sampling = { max_tokens: 12, temperature: 0 };
const results = {};

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

const chat = new ChatOpenAI({
  ...{ model, temperature: 0, maxTokens: 12, apiKey: "key", configuration: { baseURL: settings.baseURL } },
});
results.langchain = (await chat.invoke("The old house")).content;
text = "";
for await (const chunk of await chat.stream("The old house")) text += chunk.content;
results.langchainStream = text;

console.log(JSON.stringify(results));
