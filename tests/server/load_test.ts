/**
 * Many requests at once and many in a row, over loopback.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { metric, testServer } from "./serve.ts";

const prompts = [
  "The old house",
  "It was late",
  "She looked",
  "My dear",
  "CHAPTER I",
  "He said",
  "The sea",
  "In the",
];

Deno.test("100 requests against a queue of 8: each has its own full answer or a proper 429, memory stays", async () => {
  await using api = await testServer({ queue: 8 }, { sequences: 2 });
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (r) => api.server.fetch(r),
  );
  const url = `http://127.0.0.1:${server.addr.port}/v1/completions`;
  const ask = async (prompt: string, stream: boolean) => {
    // a prompt that is taken from the cache in part may round differently
    const body = JSON.stringify({ prompt, max_tokens: 24, temperature: 0, stream, cache_prompt: false });
    const response = await fetch(url, { method: "POST", body });
    const text = await response.text();
    if (!response.ok) return { status: response.status, retryAfter: response.headers.get("retry-after") };
    if (!stream) return { status: 200, text: JSON.parse(text).choices[0].text };
    const chunks = text.split("\n\n").filter((event) => event.startsWith("data: {"));
    return { status: 200, text: chunks.map((chunk) => JSON.parse(chunk.slice(6)).choices[0].text).join("") };
  };
  const wanted = new Map<string, string>();
  for (const prompt of prompts) wanted.set(prompt, (await ask(prompt, false)).text!);
  const memory = api.model.memoryBytes;

  const asked = Array.from({ length: 100 }, (_, i) => prompts[i % prompts.length]);
  const answers = await Promise.all(asked.map((prompt, i) => ask(prompt, i % 2 === 0)));
  const full = answers.filter(({ status }) => status === 200);
  answers.forEach(({ status, text, retryAfter }, i) => {
    if (status === 200) assertEquals(text, wanted.get(asked[i]));
    else assertEquals([status, retryAfter], [429, "2"]);
  });
  assert(full.length >= 10, `${full.length} of 100 were answered, 2 run and 8 wait at once`);
  assert(full.length < 100, "the queue has no end");
  assertEquals(api.model.memoryBytes, memory);
  assertEquals(api.model.brokenGuards(), []);
  for (const gauge of ["running", "waiting"]) assertEquals(await metric(api, `locket_requests_${gauge}`), 0);
  await server.shutdown();
});

Deno.test("streams at the same time share steps, each with its own reply, also when one leaves", async () => {
  await using api = await testServer({ queue: 0 }, { sequences: 4 });
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (r) => api.server.fetch(r),
  );
  const url = `http://127.0.0.1:${server.addr.port}/v1/completions`;
  const stream = async (prompt: string, leaveAt = Infinity) => {
    const body = { prompt, max_tokens: 60, temperature: 0.8, seed: 3, stream: true, cache_prompt: false };
    const response = await fetch(url, { method: "POST", body: JSON.stringify(body) });
    let text = "";
    for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
      text += piece;
      if (text.length > leaveAt) break;
    }
    const chunks = text.split("\n\n").filter((event) => /^data: \{.*\}$/.test(event));
    return chunks.map((chunk) => JSON.parse(chunk.slice(6)).choices[0].text).join("");
  };
  const wanted: string[] = [];
  for (const prompt of prompts) wanted.push(await stream(prompt));
  const counted = async () => [
    await metric(api, "locket_decode_steps_total"),
    await metric(api, "locket_decoded_tokens_total"),
  ];
  const [steps, tokens] = await counted();
  for (let round = 0; round < 4; round++) {
    const asked = [0, 1, 2, 3].map((i) => (3 * round + i) % prompts.length);
    const replies = await Promise.all(
      asked.map((at, i) => stream(prompts[at], i === round ? 600 : Infinity)),
    );
    for (const [i, at] of asked.entries()) {
      if (i === round) assert(wanted[at].startsWith(replies[i]));
      else assertEquals(replies[i], wanted[at]);
    }
    while (await metric(api, "locket_requests_running") > 0) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
  const [moreSteps, moreTokens] = await counted();
  assert(
    moreTokens - tokens > 2 * (moreSteps - steps),
    `${moreTokens - tokens} tokens in ${moreSteps - steps}`,
  );
  await server.shutdown();
});

Deno.test("1,000 requests in a row with aborts at random leave the same memory and no sequence lent", async () => {
  await using api = await testServer({ queue: 0 });
  let state = 1;
  const random = () => (state = Math.imul(state, 48271) >>> 0) / 2 ** 32;
  const memory = api.model.memoryBytes;
  for (let i = 0; i < 1000; i++) {
    const body = { prompt: prompts[i % prompts.length], max_tokens: 16, stream: true, seed: i };
    const response = await api.post("/v1/completions", body);
    assertEquals(response.status, 200);
    const reader = response.body!.getReader();
    const pieces = Math.floor(40 * random());
    for (let n = 0; n < pieces && !(await reader.read()).done;) n++;
    await reader.cancel();
  }
  assertEquals(await metric(api, "locket_requests_running"), 0);
  assertEquals(api.model.memoryBytes, memory);
  assertEquals(api.model.brokenGuards(), []);
});
