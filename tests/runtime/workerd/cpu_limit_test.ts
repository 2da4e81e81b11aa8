/**
 * A request whose CPU time comes to its end, in workerd. Local workerd enforces no limit, so the Worker writes the word
 * that the platform would write; that workerd has found the word is seen from the 0 that it holds.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { loadBundled } from "../../generate/bundled.ts";
import { hasWorkerd, serveWorker } from "../../tools/worker.ts";

const ENTRY = new URL("cpu_limit_worker.js", import.meta.url);
const MODEL = new URL("../../../models/locket-books-q8_0.gguf", import.meta.url);
const ignore = !await hasWorkerd();

Deno.test(
  { name: "a reply ends by length when CPU time does, and goes on in the next request", ignore },
  async () => {
    const { tokenizer } = await loadBundled({ context: 64 });
    const texts = Array.from(
      { length: tokenizer.nVocab },
      (_, id) => new TextDecoder().decode(tokenizer.tokenBytes(id)),
    );
    for (const load of [{}, { policy: "h2o", budget: 0.5 }]) {
      await using worker = await serveWorker(ENTRY, {
        data: { "src/entry/model.gguf": MODEL },
        bindings: { LOAD: { context: 512, chunk: 32, ...load } },
        durableObjects: { SESSIONS: { className: "SessionObject", useSQLite: true } },
      });
      const signal = async () => await (await fetch(`${worker.url}signal`)).json();
      assertEquals(await signal(), 0, "workerd does not know the word");

      const ask = async (prompt: number[], session: string, maxTokens: number, warnAt?: number) => {
        const response = await fetch(`${worker.url}v1/completions`, {
          method: "POST",
          headers: {
            "accept-encoding": "identity",
            "x-locket-session": session,
            ...(warnAt !== undefined && { "x-warn-at": String(warnAt) }),
          },
          body: JSON.stringify({
            ...{ prompt, max_tokens: maxTokens, temperature: 0, logprobs: 0 },
            ...{ stream: true, stream_options: { include_usage: true } },
          }),
        });
        const events = (await response.text()).split("\n\n").filter((event) => event.startsWith("data: {"))
          .map((event) => JSON.parse(event.slice(6)));
        const choices = events.flatMap(({ choices }) => choices);
        return {
          ids: choices.flatMap(({ logprobs }) => logprobs?.tokens ?? []).map((text) => texts.indexOf(text)),
          finishReason: choices.findLast(({ finish_reason }) => finish_reason !== null).finish_reason,
          cached: events.findLast(({ usage }) => usage).usage.prompt_tokens_details.cached_tokens,
        };
      };
      const prompt = tokenizer.encode("The old house stood at the end of the street, and nobody. ".repeat(8));
      const whole = await ask(prompt, "whole", 40);
      assertEquals(whole.ids.length, 40);

      const first = await ask(prompt, "cut", 40, 5);
      assertEquals(first.finishReason, "length");
      assert(first.ids.length >= 5 && first.ids.length < 12, `${first.ids.length} tokens`);
      assertEquals(await signal(), 0, "the warning is taken");
      const second = await ask([...prompt, ...first.ids], "cut", 40 - first.ids.length);
      assertEquals(second.cached, prompt.length + first.ids.length - 1);
      assertEquals([...first.ids, ...second.ids], whole.ids);

      // In a prompt every request gets a chunk further.
      for (let done = 0; done + 32 < prompt.length; done += 32) {
        const none = await ask(prompt, "prompt", 8, 0);
        assertEquals([none.ids.length, none.finishReason, none.cached], [0, "length", done]);
      }
      assertEquals((await ask(prompt, "prompt", 8)).ids, whole.ids.slice(0, 8));
    }
  },
);
