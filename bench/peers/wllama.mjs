// llama.cpp compiled to WASM, one thread, in headless Chromium. Prints one JSON object like native.mjs:
//   node wllama.mjs MODEL --package wllama-2|@wllama/wllama --prefill 512 --decode 512 [--steps 16] [--chromium PATH]
import { chromium } from "playwright-core";
import { createReadStream, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values: flags, positionals: [modelPath] } = parseArgs({
  allowPositionals: true,
  options: {
    package: { type: "string", default: "wllama-2" },
    prefill: { type: "string", default: "512" },
    decode: { type: "string", default: "512" },
    steps: { type: "string", default: "16" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
  },
});
const folder = fileURLToPath(
  new URL(`node_modules/${flags.package}/esm/`, import.meta.url),
);
const types = {
  ".js": "text/javascript",
  ".wasm": "application/wasm",
  ".html": "text/html",
};
const server = createServer((request, response) => {
  const path = new URL(request.url, "http://localhost").pathname;
  if (path === "/") {
    return response.setHeader("content-type", "text/html").end(
      "<!doctype html><title>wllama</title>",
    );
  }
  const file = path === "/model.gguf" ? modelPath : join(folder, path);
  try {
    response.setHeader("content-length", statSync(file).size);
    response.setHeader(
      "content-type",
      types[extname(file)] ?? "application/octet-stream",
    );
    createReadStream(file).pipe(response);
  } catch {
    response.writeHead(404).end();
  }
}).listen(0, "127.0.0.1");
await new Promise((done) => server.once("listening", done));

const browser = await chromium.launch({
  executablePath: flags.chromium,
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
  ],
});
const lengths = (text) => text.split(",").filter(Boolean).map(Number);
try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(String(error)));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const job = {
    prefills: lengths(flags.prefill),
    decodes: lengths(flags.decode),
    steps: Number(flags.steps),
    two: flags.package === "wllama-2",
  };
  const report = await page.evaluate(
    async ({ prefills, decodes, steps, two }) => {
      const { Wllama } = await import("/index.js");
      const paths = two
        ? {
          "single-thread/wllama.wasm": "/single-thread/wllama.wasm",
          "multi-thread/wllama.wasm": "/multi-thread/wllama.wasm",
        }
        : { default: "/wasm/wllama.wasm" };
      const quiet = { debug() {}, log() {}, warn() {}, error: console.error };
      const wllama = new Wllama(paths, {
        suppressNativeLog: true,
        logger: quiet,
      });
      const blob = await (await fetch("/model.gguf")).blob();
      const longest = Math.max(...prefills, ...decodes) + steps + 16;
      await wllama.loadModel([blob], {
        n_ctx: longest,
        n_batch: 512,
        n_threads: 1,
        warmup: false,
      });
      // Digits have no merges in the bench model's vocabulary: one token each.
      const text = (n, salt) =>
        Array.from({ length: n }, (_, i) => String((i * 7 + salt) % 10)).join(
          "",
        );
      let salt = 0;
      /** Seconds from the call to the n-th token. */
      async function time(nPrompt, nPredict) {
        salt++;
        const began = performance.now();
        if (two) {
          await wllama.createCompletion(text(nPrompt, salt), {
            nPredict,
            sampling: { temp: 0 },
            useCache: false,
          });
        } else {await wllama.createCompletion({
            prompt: text(nPrompt, salt),
            max_tokens: nPredict,
            temperature: 0,
            cache_prompt: false,
            ignore_eos: true,
          });}
        return (performance.now() - began) / 1000;
      }
      await time(32, 2);
      const report = { prefill: {}, decode: {} };
      for (const n of prefills) report.prefill[n] = n / (await time(n, 1));
      for (const n of decodes) {
        const one = await time(n, 1);
        report.decode[n] = steps / ((await time(n, 1 + steps)) - one);
      }
      return report;
    },
    job,
  );
  report.version = JSON.parse(readFileSync(join(folder, "../package.json"))).version;
  console.log(JSON.stringify(report));
} finally {
  await browser.close();
  server.close();
}
