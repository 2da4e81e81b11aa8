import { assert, assertEquals } from "@std/assert";
import { fileSessions } from "../../src/stores/files.ts";
import type { SessionStore } from "../../src/stores/store.ts";
import { LONG_TEXT } from "../generate/bundled.ts";
import { events, type TestServer, testServer } from "./serve.ts";

const LOAD = { context: 512, policy: "keyformer", budget: 48, chunk: 32 };

/** Runs `use` with a store in a folder of its own. */
async function withStore(use: (store: SessionStore, folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  await use(fileSessions(folder), folder);
  await Deno.remove(folder, { recursive: true });
}

interface Turn {
  readonly text: string;
  readonly cached: number;
}

async function ask(server: TestServer, prompt: readonly number[], session?: string): Promise<Turn> {
  const init = session === undefined ? {} : { headers: { "x-locket-session": session } };
  const response = await server.post("/v1/completions", { prompt, max_tokens: 8, temperature: 0 }, init);
  const { choices, usage } = await response.json();
  return { text: choices[0].text, cached: usage.prompt_tokens_details.cached_tokens };
}

/** Errors that the server tells its operator of. */
async function complaints(work: () => Promise<void>): Promise<string> {
  const { error } = console;
  const said: unknown[] = [];
  console.error = (...words) => said.push(...words);
  try {
    await work();
  } finally {
    console.error = error;
  }
  return said.join();
}

Deno.test("another server with the same store goes on with a conversation", async () => {
  await withStore(async (sessions) => {
    await using one = await testServer({ sessions }, LOAD);
    await using other = await testServer({ sessions }, LOAD);
    await using alone = await testServer({}, LOAD);
    const ids = one.model.tokenizer.encode(LONG_TEXT);
    const prompts = [60, 100, 150].map((n) => ids.slice(0, n));
    const turns = [];
    for (const [i, prompt] of prompts.entries()) {
      // a reply would be part of the text: with one token there is none that was read
      const body = { prompt, max_tokens: 1, temperature: 0, locket: { session: "x" } };
      const { choices, usage } = await (await [one, other][i % 2].post("/v1/completions", body)).json();
      turns.push([choices[0].text, usage.prompt_tokens_details.cached_tokens]);
      await ask([one, other][i % 2], ids.slice(i, 20), "another");
    }
    assertEquals(turns.map(([, cached]) => cached), [0, 60, 100]);
    for (const [i, prompt] of prompts.entries()) {
      const body = { prompt, max_tokens: 1, temperature: 0 };
      const { choices } = await (await alone.post("/v1/completions", body)).json();
      assertEquals(choices[0].text, turns[i][0]);
    }
  });
});

Deno.test("a stream has been saved when its end is told, and not when its reader has left", async () => {
  await withStore(async (sessions, folder) => {
    await using server = await testServer({ sessions }, LOAD);
    const body = { prompt: "It was late", max_tokens: 8, temperature: 0, stream: true };
    const init = { headers: { "x-locket-session": "x" } };
    const reader = (await server.post("/v1/completions", { ...body, max_tokens: 300 }, init)).body!
      .getReader();
    await reader.read();
    await reader.cancel();
    await ask(server, [5, 6, 7]);
    assertEquals([...Deno.readDirSync(folder)], []);
    assertEquals((await events(await server.post("/v1/completions", body, init))).at(-1), "[DONE]");
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["x.session"]);
  });
});

Deno.test("what can't be restored or saved costs no reply", async () => {
  await withStore(async (sessions, folder) => {
    await using server = await testServer({ sessions }, LOAD);
    const prompt = server.model.tokenizer.encode(LONG_TEXT).slice(0, 70);
    const { text } = await ask(server, prompt, "x");
    await Deno.truncate(`${folder}/x.session`, 1000);
    const longer = [...prompt, 5, 6];
    const wanted = await ask(server, longer, "fresh");
    const damaged = await complaints(async () => assertEquals(await ask(server, longer, "x"), wanted));
    assert(damaged.includes("SnapshotError"), damaged);

    const failing: SessionStore = {
      load: () => Promise.reject(new Error("no store today")),
      save: () => Promise.reject(new Error("no store today")),
      delete: () => Promise.resolve(),
    };
    await using lost = await testServer({ sessions: failing }, LOAD);
    const told = await complaints(async () => {
      assertEquals(await ask(lost, prompt, "x"), { text, cached: 0 });
    });
    assertEquals(told.split("no store today").length, 3);
  });
});

Deno.test("a session's name that is none, or that nobody keeps, is refused", async () => {
  await withStore(async (sessions) => {
    await using server = await testServer({ sessions });
    await using without = await testServer();
    const refused = async (server: TestServer, headers: Record<string, string>, more = {}) => {
      const response = await server.post("/v1/completions", { prompt: "x", ...more }, { headers });
      const { error } = await response.json();
      return [response.status, error.param, error.code];
    };
    const header = "x-locket-session";
    assertEquals(await refused(server, { [header]: "a/b" }), [400, header, "invalid_value"]);
    assertEquals(await refused(server, { [header]: "" }), [400, header, "invalid_value"]);
    const field = { locket: { session: "x".repeat(129) } };
    assertEquals(await refused(server, {}, field), [400, "locket.session", "invalid_value"]);
    assertEquals(await refused(without, { [header]: "x" }), [400, header, "sessions_not_kept"]);
  });
});
