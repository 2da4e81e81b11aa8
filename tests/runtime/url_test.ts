/**
 * A real server on the loopback interface that misbehaves in every way that servers and networks do.
 *
 * @module
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { OptionError, SourceError } from "../../src/error.ts";
import { GgmlType, openModel } from "../../src/gguf/mod.ts";
import { openSource } from "../../src/runtime/open_source.ts";
import type { SourceOptions } from "../../src/runtime/source_options.ts";
import { readAll } from "../gguf/read.ts";
import { writeGguf } from "../gguf/writer.ts";

const WEIGHTS = Uint8Array.from({ length: 2 ** 20 }, (_, i) => (i * 31 + (i >> 8)) & 255);
const FILE = writeGguf({ tensors: [{ name: "x", type: GgmlType.F32, shape: [2 ** 18], data: WEIGHTS }] });
const FAST: SourceOptions = { backoffMs: 1, stallMs: 2000 };

/** What the server does with request number `nth`, from 0; `from` is the first byte asked for. */
type Handler = (request: Request, from: number, nth: number) => Response | Promise<Response>;

interface Server {
  url: URL;
  /** The first byte asked for, request by request. */
  asked: number[];
}

async function serve(handler: Handler, use: (server: Server) => Promise<void>): Promise<void> {
  const asked: number[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {}, onError: () => new Response() },
    (request) => {
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "")?.[1] ?? NaN);
      asked.push(from);
      return handler(request, from, asked.length - 1);
    },
  );
  try {
    await use({ url: new URL(`http://127.0.0.1:${server.addr.port}/model.gguf?download=true`), asked });
  } finally {
    await server.shutdown();
  }
}

/** A well-behaved answer. `body` is what is really sent, `size` what the headers say. */
function partial(from: number, { body, size = FILE.length, headers = {} }: {
  body?: BodyInit;
  size?: number;
  headers?: HeadersInit;
} = {}): Response {
  const range = { "content-range": `bytes ${from}-${size - 1}/${size}` };
  return new Response(body ?? FILE.slice(from), { status: 206, headers: { ...range, ...headers } });
}

/** A body that breaks off after `length` bytes. */
function breaking(from: number, length: number): ReadableStream<Uint8Array> {
  let sent = 0;
  return new ReadableStream({
    async pull(controller) {
      if (sent >= length) {
        // what was sent should arrive before the connection breaks
        await new Promise((resolve) => setTimeout(resolve, 20));
        return controller.error(new Error("dropped"));
      }
      const end = Math.min(sent + 16384, length);
      controller.enqueue(FILE.slice(from + sent, from + end));
      sent = end;
    },
  });
}

async function assertReads(url: URL, options: SourceOptions = {}): Promise<void> {
  const { weights, progress } = await readAll(url, { ...FAST, ...options });
  assert(weights.get("x")!.every((byte, i) => byte === WEIGHTS[i]), "the bytes differ");
  assertEquals(progress.at(-1), { loaded: FILE.length, total: FILE.length, file: url.href });
}

Deno.test("openSource() reads a URL in one Range request", () =>
  serve((request, from) => {
    assertEquals(request.headers.get("authorization"), "Bearer me");
    return partial(from);
  }, async ({ url, asked }) => {
    await assertReads(url, { headers: { authorization: "Bearer me" } });
    assertEquals(asked, [0]);
  }));

Deno.test("openSource() takes a dropped connection up where it stopped", () =>
  serve(
    (_, from, nth) => nth < 4 ? partial(from, { body: breaking(from, 200_000) }) : partial(from),
    async ({ url, asked }) => {
      await assertReads(url);
      assertEquals(asked.length, 5);
      assertEquals(asked[0], 0);
      assert(asked.every((from, i) => i === 0 || from > asked[i - 1]), `asked from ${asked}`);
    },
  ));

Deno.test("openSource() passes over what it has where the server ignores Range", () =>
  serve((_, __, nth) => {
    const headers = { "content-length": String(FILE.length) };
    return nth < 2
      ? new Response(breaking(0, 300_000 * (nth + 1)), { headers })
      : new Response(FILE, { headers });
  }, async ({ url, asked }) => {
    await assertReads(url);
    assertEquals(asked.length, 3);
  }));

Deno.test("openSource() reads a URL whose size nobody tells", () =>
  serve(() => new Response(breakless()), async ({ url, asked }) => {
    await assertReads(url);
    assertEquals(asked, [0]);
  }));

function breakless(): ReadableStream<Uint8Array> {
  return new Blob([FILE]).stream();
}

Deno.test("openSource() tries again after a passing refusal, with growing waits", async () => {
  for (const status of [429, 500, 503]) {
    await serve(
      (_, from, nth) => nth < 3 ? new Response("later", { status }) : partial(from),
      async ({ url, asked }) => {
        const start = performance.now();
        await assertReads(url, { backoffMs: 10 });
        assertEquals(asked, [0, 0, 0, 0]);
        assert(performance.now() - start >= 10 + 20 + 40, "it did not wait");
      },
    );
  }
});

Deno.test("openSource() takes up a connection that stalls", () =>
  serve((_, from, nth) => {
    const silent = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(FILE.slice(from, from + 1000)),
    });
    return partial(from, nth === 0 ? { body: silent } : {});
  }, async ({ url, asked }) => {
    await assertReads(url, { stallMs: 100 });
    assertEquals(asked, [0, 1000]);
  }));

/** Longer than anybody here waits. */
const silence = () => new Promise((resolve) => setTimeout(resolve, 1000));

Deno.test("openSource() gives up a server that accepts and never answers", () =>
  serve(async () => {
    await silence();
    return new Response();
  }, async ({ url, asked }) => {
    const start = performance.now();
    await assertRejects(
      () => readAll(url, { ...FAST, stallMs: 300 }),
      SourceError,
      `${url}: can't be read at byte 0 after 2 tries: no byte came for 0.3 s, wanted the next one within that time`,
    );
    assertEquals(asked, [0, 0]);
    assert(performance.now() - start >= 600, "it did not wait");
  }));

Deno.test("openSource() gives up a server that stops in mid-body and stays silent", () =>
  serve(async (_, from) => {
    if (from > 0) await silence();
    return partial(from, {
      body: new ReadableStream({ start: (controller) => controller.enqueue(FILE.slice(0, 300_000)) }),
    });
  }, async ({ url, asked }) => {
    const message = "can't be read at byte 300000 after 2 tries: no byte came for 0.3 s";
    await assertRejects(() => readAll(url, { ...FAST, stallMs: 300 }), SourceError, message);
    assertEquals(asked, [0, 300_000]);
  }));

Deno.test("openSource() takes up a server that stalls again and again, as long as bytes come", () =>
  serve((_, from) => {
    const some = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(FILE.slice(from, from + 300_000)),
    });
    return partial(from, from + 300_000 < FILE.length ? { body: some } : {});
  }, async ({ url, asked }) => {
    await assertReads(url, { stallMs: 200 });
    assertEquals(asked, [0, 300_000, 600_000, 900_000]);
  }));

Deno.test("openSource() gives up a Response that stops in mid-body", () =>
  serve((_, from) => {
    const body = new ReadableStream({ start: (controller) => controller.enqueue(FILE.slice(0, 1000)) });
    return partial(from, { body });
  }, async ({ url }) => {
    const response = await fetch(url);
    const message = `${url}: can't be read: no byte came for 0.2 s`;
    await assertRejects(() => readAll(response, { stallMs: 100 }), SourceError, message);
  }));

Deno.test("openModel() rejects with the signal's reason while a server is silent", () =>
  serve(async () => {
    await silence();
    return new Response();
  }, async ({ url }) => {
    const signal = AbortSignal.timeout(100);
    await assertRejects(() => openModel(openSource(url), { signal }), DOMException, "timeout");
  }));

Deno.test("openSource() gives up after its tries", () =>
  serve((_, from) => partial(from, { body: breaking(from, 1000) }), async ({ url, asked }) => {
    const message = "can't be read at byte 3000 after 3 tries";
    await assertRejects(() => readAll(url, { ...FAST, tries: 3 }), SourceError, message);
    assertEquals(asked, [0, 1000, 2000]);
  }));

Deno.test("openSource() gives up where nobody listens", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const url = `http://127.0.0.1:${listener.addr.port}/model.gguf`;
  listener.close();
  await assertRejects(
    () => readAll(url, { ...FAST, tries: 2 }),
    SourceError,
    "can't be read at byte 0 after 2 tries",
  );
});

Deno.test({
  name: "openSource() gives up at once without permission",
  permissions: { net: false },
  fn: () =>
    assertRejects(() => readAll("http://127.0.0.1:8471/x.gguf"), SourceError, "Requires net access").then(
      () => {},
    ),
});

/** What is wrong, the server, the message, and how many requests it takes to find out. */
const REFUSALS: [string, Handler, string, number, SourceOptions?][] = [
  ["is not there", () => new Response("no", { status: 404, statusText: "Not Found" }), "HTTP status 404", 1],
  ["is forbidden", () => new Response("no", { status: 403 }), "HTTP status 403", 1],
  ["is empty", () => new Response(null, { status: 416 }), "the file is empty", 1],
  ["has no body", () => new Response(null, { status: 204 }), "HTTP status 204 without a body", 1],
  ["fails for ever", () => new Response("no", { status: 500 }), "after 6 tries: HTTP status 500", 6],
  ["has another size", (_, from) => partial(from), `the file has ${FILE.length} bytes, wanted 7`, 1, {
    size: 7,
  }],
  [
    "gets shorter",
    (_, from, nth) =>
      nth === 0 ? partial(from, { body: breaking(from, 500) }) : new Response(null, { status: 416 }),
    "HTTP status 416: it has no byte 500",
    2,
  ],
  [
    "changes its size",
    (_, from, nth) => partial(from, nth === 0 ? { body: breaking(from, 500) } : { size: FILE.length + 1 }),
    `it changed while it was read: size ${FILE.length + 1}, before ${FILE.length}`,
    2,
  ],
  [
    "changes its tag",
    (_, from, nth) =>
      partial(from, { headers: { etag: `"${nth}"` }, ...(nth === 0 && { body: breaking(from, 500) }) }),
    `it changed while it was read: tag "1", before "0"`,
    2,
  ],
  [
    "sends another range",
    (_, from, nth) => nth === 0 ? partial(from, { body: breaking(from, 500) }) : partial(from + 1),
    "the server sent the bytes from 501 on, wanted 500",
    2,
  ],
  ["says it is longer", (_, from) => partial(from, { size: FILE.length + 9 }), "can't be read at byte", 6, {
    size: FILE.length + 9,
  }],
  ["sends more", (_, from) => partial(from, { size: FILE.length - 7 }), "needs the bytes", 1],
  [
    "sends more than it says",
    (_, from) => partial(from, { body: new Uint8Array([...FILE, 1]) }),
    `more than ${FILE.length} bytes came`,
    1,
    {
      size: FILE.length,
    },
  ],
  ["has another digest", (_, from) => partial(from), "the SHA-256 is", 1, { sha256: "0".repeat(64) }],
];

for (const [what, handler, message, nRequests, options] of REFUSALS) {
  Deno.test(`openSource() refuses a URL that ${what}`, () =>
    serve(handler, async ({ url, asked }) => {
      const error = await assertRejects(() => readAll(url, { ...FAST, ...options }), Error, message);
      assert(error instanceof SourceError || what === "sends more", String(error));
      assertEquals(asked.length, nRequests);
    }));
}

Deno.test("openSource() verifies the digest over all connections", async () => {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", FILE));
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const handler: Handler = (_, from, nth) => partial(from, nth < 2 ? { body: breaking(from, 300_000) } : {});
  await serve(handler, ({ url }) => assertReads(url, { sha256, size: FILE.length }));
});

Deno.test("openSource() finds the other files of a split beside the URL, and opens them again for their weights", async () => {
  const files = [0, 1, 2].map((no) =>
    writeGguf({
      metadata: [["split.no", { type: "UINT16", value: no }], ["split.count", { type: "UINT16", value: 3 }]],
      tensors: [{ name: `x${no}`, type: GgmlType.F32, shape: [2 ** 17] }],
    })
  );
  const paths: string[] = [];
  const handler: Handler = (request, from) => {
    const { pathname, search } = new URL(request.url);
    paths.push(`${pathname}${search} ${from === 0 ? "head" : "weights"}`);
    const file = files[Number(/-(\d{5})-of/.exec(pathname)![1]) - 1];
    return partial(from, { body: file.slice(from), size: file.length });
  };
  await serve(handler, async ({ url }) => {
    url.pathname = "/tiny-00001-of-00003.gguf";
    const { weights } = await readAll(url, FAST);
    assertEquals([...weights.keys()], ["x0", "x1", "x2"]);
    const of = (i: number) => `/tiny-0000${i}-of-00003.gguf?download=true`;
    assertEquals(paths, [
      `${of(1)} head`,
      `${of(2)} head`,
      `${of(3)} head`,
      `${of(2)} weights`,
      `${of(3)} weights`,
    ]);
  });
});

Deno.test("openModel() rejects with the signal's reason while it waits to try again", () =>
  serve(() => new Response("no", { status: 503 }), async ({ url }) => {
    const start = performance.now();
    const signal = AbortSignal.timeout(50);
    await assertRejects(
      () => openModel(openSource(url, { backoffMs: 60_000 }), { signal }),
      DOMException,
      "timeout",
    );
    assert(performance.now() - start < 5000);
  }));

Deno.test("streamTensors() rejects with the signal's reason in the middle of a download", () => {
  let canceled = 0;
  const slow = (from: number) =>
    new ReadableStream<Uint8Array>({
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        controller.enqueue(FILE.slice(from, from += 1000));
      },
      cancel() {
        canceled++;
      },
    });
  return serve((_, from) => partial(from, { body: slow(from) }), async ({ url, asked }) => {
    const opened = await openModel(openSource(url, FAST));
    const signal = AbortSignal.timeout(50);
    await assertRejects(
      () => opened.streamTensors({ write() {}, done() {} }, { signal }),
      DOMException,
      "timeout",
    );
    for (let i = 0; i < 100 && canceled === 0; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    assertEquals([canceled, asked.length], [1, 1]);
  });
});

Deno.test("close() lets go of a connection that nobody reads", () => {
  let canceled = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(FILE.slice(0, 65536)),
    cancel: () => void canceled++,
  });
  return serve((_, from) => partial(from, { body: endless }), async ({ url }) => {
    (await openModel(openSource(url, FAST))).close();
    for (let i = 0; i < 100 && canceled === 0; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    assertEquals(canceled, 1);
  });
});

Deno.test("a connection that can't be made is told with its reason", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const source = openSource(`http://127.0.0.1:${port}/model.gguf`, { ...FAST, tries: 2 });
  await assertRejects(() => openModel(source), SourceError, "refused");
});

Deno.test("a URL that nothing can fetch is refused at once", () => {
  for (const url of ["ftp://127.0.0.1/model.gguf", "s3://bucket/model.gguf"]) {
    assertThrows(() => openSource(url), OptionError, "wanted a URL of https:, http:, file:, blob:, data:");
    assertThrows(() => openSource(new URL(url)), OptionError, url);
  }
});
