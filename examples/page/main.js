/** Continues a text on a page; the model is kept on the device. Bundle with Vite, webpack or Parcel. */
import { cachedSource, generate, loadModel, opfsStore } from "@locket/locket";

const url = new URL("model.gguf", location.href);
const model = await loadModel(cachedSource(url, await opfsStore()), { context: 1024, maxBytes: 512e6 });
for await (const { text } of generate(model, "The old house", { maxTokens: 64 })) document.body.append(text);
