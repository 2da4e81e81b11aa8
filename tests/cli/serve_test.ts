/** `deno task serve` as a process: where it can't listen, and how it ends. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { LONG_TEXT } from "../generate/bundled.ts";
import { fail, withFile } from "./run.ts";

const ROOT = new URL("../../", import.meta.url);
const SERVE = ["run", "-A", "--unstable-no-legacy-abort", "src/cli/serve.ts"];

Deno.test("serve names what it can't listen on, or keep conversations in", async () => {
  await fail("serve", ["--port", "99999"], /--port is 99999, wanted 0 … 65535/);
  await fail("serve", ["--host", "no-such-host.invalid", "--port", "0"], /no-such-host.invalid:0/);
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await fail("serve", ["--port", String(listener.addr.port)], /--port is .*, wanted an address .* free/);
  listener.close();
  await withFile(
    "a file",
    (path) => fail("serve", ["--sessions", `${path}/within`], /--sessions is .* written/),
  );
});

const ipv6 = (() => {
  try {
    Deno.listen({ hostname: "::1", port: 0 }).close();
    return true;
  } catch {
    console.warn("SKIPPED: no IPv6 on this machine");
    return false;
  }
})();

Deno.test({
  name: "serve says where it listens as a URL",
  ignore: !ipv6,
  async fn() {
    const args = [...SERVE, "--port", "0", "--host", "::1"];
    const child = new Deno.Command(Deno.execPath(), { args, cwd: ROOT, stdout: "piped" }).spawn();
    const said = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const url = new URL((await said.read()).value!.split(" ")[0]);
    assertEquals(await (await fetch(new URL("/healthz", url))).json(), { status: "ok" });
    child.kill("SIGKILL");
    await child.status;
    await said.cancel();
  },
});

/** Starts a server and a streamed reply of many tokens, and calls `use` once that has begun. */
async function whileReplying(
  use: (
    child: Deno.ChildProcess,
    reply: AsyncIterator<string>,
    errors: ReadableStreamDefaultReader<string>,
  ) => Promise<void>,
): Promise<void> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...SERVE, "--port", "0"],
    cwd: ROOT,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const said = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const errors = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  const url = (await said.read()).value!.split(" ")[0];
  const response = await fetch(`${url}/completions`, {
    method: "POST",
    body: JSON.stringify({
      prompt: LONG_TEXT,
      max_tokens: 300,
      stream: true,
      response_format: { type: "text" },
    }),
  });
  const reply = response.body!.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();
  assertStringIncludes((await reply.next()).value!, "data: ");
  await use(child, reply, errors);
  await said.cancel();
  await errors.cancel();
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test({
    name: `serve lets a reply come to its end at ${signal}, and then ends well`,
    ignore: Deno.build.os === "windows",
    fn: () =>
      whileReplying(async (child, reply) => {
        child.kill(signal);
        let rest = "";
        for (let piece = await reply.next(); !piece.done; piece = await reply.next()) rest += piece.value;
        assert(rest.endsWith("data: [DONE]\n\n"), rest.slice(-200));
        assertEquals((await child.status).code, 0);
      }),
  });
}

Deno.test({
  name: "serve ends at once when it is asked twice",
  ignore: Deno.build.os === "windows",
  fn: () =>
    whileReplying(async (child, reply, errors) => {
      child.kill("SIGTERM");
      assertStringIncludes((await errors.read()).value!, "No more requests");
      child.kill("SIGINT");
      assertEquals((await child.status).code, 130);
      await reply.return?.().catch(() => {});
    }),
});
