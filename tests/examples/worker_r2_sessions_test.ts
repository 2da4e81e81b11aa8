/**
 * Sessions of the Worker example: one isolate ends, another goes on, and nobody can tell from the tokens.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { hasWorkerd, type ServedWorker, serveWorker } from "../tools/worker.ts";
import { loadBundled } from "../generate/bundled.ts";

const entry = new URL("../../examples/worker-r2/worker.js", import.meta.url);
const model = new URL("../../models/locket-books-q8_0.gguf", import.meta.url);
const ignore = !await hasWorkerd();

const TURNS = ["The old house stood at the end of the street.", " Nobody spoke of it.", " Then the door"];
const REPLY = 24;

/** Ids of the text that a reply's tokens are written as. */
async function tokenIds() {
  const { tokenizer } = await loadBundled({ context: 64 });
  const texts = Array.from(
    { length: tokenizer.nVocab },
    (_, id) => new TextDecoder().decode(tokenizer.tokenBytes(id)),
  );
  return { tokenizer, idOf: (text: string) => texts.indexOf(text) };
}

Deno.test(
  { name: "a conversation goes on in another isolate as in one that never ended", ignore },
  async () => {
    const { tokenizer, idOf } = await tokenIds();
    const folder = await Deno.makeTempDir();
    for (const load of [{ kvType: "q8_0" }, { kvType: "q4_0", policy: "keyformer", budget: 48, chunk: 32 }]) {
      const serve = () =>
        serveWorker(entry, {
          compatibilityFlags: ["enable_request_signal"],
          bindings: { MODEL_KEY: "books.gguf", LOAD: { context: 512, ...load } },
          r2: { MODELS: { "books.gguf": model.pathname } },
          durableObjects: { SESSIONS: { className: "SessionObject", useSQLite: true } },
          durableObjectsPersist: `${folder}/${load.kvType}`,
        });
      /** A turn; the ids of its prompt become those of the next one's beginning. */
      const turn = async (
        { url }: ServedWorker,
        text: string,
        ids: number[],
        session: Record<string, unknown>,
      ) => {
        ids.push(...tokenizer.encode(text, { addSpecial: ids.length === 0 }));
        const { headers, ...field } = session as { headers?: Record<string, string> };
        const response = await fetch(`${url}v1/completions`, {
          method: "POST",
          headers,
          body: JSON.stringify({ prompt: ids, max_tokens: REPLY, temperature: 0, logprobs: 0, ...field }),
        });
        const { choices, usage } = await response.json();
        ids.push(...choices[0].logprobs.tokens.map(idOf));
        return { tokens: choices[0].logprobs.tokens, cached: usage.prompt_tokens_details.cached_tokens };
      };

      const [alone, steady]: Awaited<ReturnType<typeof turn>>[][] = [[], []];
      {
        await using worker = await serve();
        let ids: number[] = [];
        for (const text of TURNS) alone.push(await turn(worker, text, ids, {}));
        ids = [];
        for (const text of TURNS) {
          steady.push(await turn(worker, text, ids, { headers: { "x-locket-session": "steady" } }));
          // another conversation takes the only sequence in between
          await turn(worker, "It was late", [], {});
        }
      }
      const moved = [];
      const ids: number[] = [];
      for (const text of TURNS) {
        await using worker = await serve();
        moved.push(await turn(worker, text, ids, { locket: { session: "moved" } }));
      }
      assertEquals(moved, alone);
      assertEquals(steady, alone);
      // All but the last token of a reply, which nobody has read yet, and what is new.
      assert(moved[1].cached >= REPLY && moved[2].cached > moved[1].cached + REPLY, JSON.stringify(moved));
    }
    await Deno.remove(folder, { recursive: true });
  },
);
