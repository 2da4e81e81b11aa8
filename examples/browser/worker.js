/** The engine, off the page's thread. Answers messages by type: `load`, `generate`, `stop`. */
import { applyChatTemplate, loadModel, Session } from "@locket/locket";

let model;
let session;
let generation;

const handlers = {
  async load({ url, context }) {
    model = await loadModel(new URL(url), {
      context,
      onProgress: ({ loaded, total }) => postMessage({ type: "progress", loaded, total }),
    });
    session = new Session(model.sequence());
    const { plan, metadata, binary, memoryBytes } = model;
    const regions = plan.regions.map(({ name, bytes }) => ({ name, bytes }));
    const name = metadata.string("general.name", "a model without a name");
    postMessage({ type: "ready", name, binary, memoryBytes, regions });
  },

  async generate({ messages, options }) {
    generation = await session.generate(promptOf(messages), options);
    for await (const { text } of generation) postMessage({ type: "text", text });
    const { finishReason, tokens, timings } = await generation.result();
    postMessage({ type: "done", finishReason, tokens: tokens.length, timings });
  },

  async stop() {
    await generation?.cancel();
  },
};

/** With the model's template as a chat; a model without one continues the text. */
function promptOf(messages) {
  const { metadata, tokenizer } = model;
  if (!metadata.has("tokenizer.chat_template")) {
    return tokenizer.encode(messages.map(({ content }) => content).join(""));
  }
  return tokenizer.encode(applyChatTemplate(metadata, messages), { parseSpecial: true, addSpecial: false });
}

addEventListener("message", async ({ data }) => {
  try {
    await handlers[data.type](data);
  } catch (error) {
    postMessage({ type: "error", message: error.message });
  }
});
