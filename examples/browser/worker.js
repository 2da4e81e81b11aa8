/** The engine, off the page's thread. Answers messages by type: `load`, `generate`, `stop`, `view`, `forget`. */
import { applyChatTemplate, cachedSource, loadModel, opfsStore, Session } from "@locket/locket";
import { viewCache } from "./cache_view.js";

/** What the page is told of the cache while a reply comes, at most. */
const VIEW_MS = 200;

let model;
let sequence;
let session;
let source;
let generation;
/** Tokens of the conversation. */
let ids = [];
let view = { layer: -1, head: -1 };
let viewed = 0;

const handlers = {
  async load({ url, context, policy, budget, messages }) {
    model?.dispose();
    model = undefined;
    // a private window may have no file system: then the model comes from the network each time
    const store = await opfsStore().catch(() => undefined);
    source = store && cachedSource(url, store);
    model = await loadModel(source ?? new URL(url), {
      context,
      policy,
      budget,
      onProgress({ loaded, total }) {
        postMessage({ type: "progress", loaded, total });
      },
    });
    sequence = model.sequence();
    session = new Session(sequence);
    ids = [];
    const { plan, metadata, binary, memoryBytes, hparams: { nLayers, nKvHeads } } = model;
    const regions = plan.regions.map(({ name, bytes }) => ({ name, bytes }));
    const name = metadata.string("general.name", "a model without a name");
    const { fromStore, stored } = source?.files[0] ?? { fromStore: 0, stored: false };
    postMessage({
      ...{ type: "ready", name, binary, memoryBytes, regions, nLayers, nKvHeads },
      ...{ fromStore, stored },
    });
    if (messages.length > 0) await reread(messages);
  },

  async generate({ messages, options }) {
    ids = promptOf(messages);
    generation = await session.generate(ids, options);
    for await (const { text, id } of generation) {
      ids.push(id);
      postMessage({ type: "text", text });
      if (performance.now() - viewed > VIEW_MS) postView();
    }
    const { finishReason, tokens, timings } = await generation.result();
    postView();
    postMessage({ type: "done", finishReason, tokens: tokens.length, timings });
  },

  async stop() {
    await generation?.cancel();
  },

  view(chosen) {
    view = chosen;
    if (ids.length > 0) postView();
  },

  async forget() {
    await source.forget();
    postMessage({ type: "forgotten" });
  },
};

/** Reads a conversation that another policy has read before; nothing is added to it. */
async function reread(messages) {
  ids = promptOf(messages);
  await (await session.generate(ids, { maxTokens: 1 })).result();
  postView();
}

function postView() {
  const texts = ids.map((id) => model.tokenizer.decode([id], { special: true }));
  const { scores, kept, read } = viewCache(sequence, ids.length, view);
  const { usedBytes, bytes } = sequence.cache();
  postMessage({ type: "view", texts, scores, kept, read, usedBytes, bytes });
  viewed = performance.now();
}

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
