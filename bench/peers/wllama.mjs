// llama.cpp compiled to WASM, one thread, in headless Chromium. Prints one JSON object like native.mjs:
// Speeds are taken between the call, the first token and the last one, as the page sees them; memory is the page's process.
//   node wllama.mjs MODEL --package wllama-2|@wllama/wllama --prefill 512 --decode 512 [--steps 48] [--chromium PATH]
import { chromium } from "playwright-core";
import { createReadStream, readdirSync, readFileSync, statSync } from "node:fs";
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
    steps: { type: "string", default: "48" },
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

/** Peak resident memory of the largest renderer among this process's descendants (Linux). */
function peakMiB() {
  const parents = new Map();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      parents.set(pid, readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ")[1]);
    } catch { /* It has ended meanwhile. */ }
  }
  const isOurs = (pid) => pid !== undefined && (pid === String(process.pid) || isOurs(parents.get(pid)));
  const peaks = [...parents.keys()].filter(isOurs).map((pid) => {
    if (!readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("--type=renderer")) return 0;
    return Number(readFileSync(`/proc/${pid}/status`, "utf8").match(/VmHWM:\s*(\d+)/)?.[1] ?? 0);
  });
  return Math.round(Math.max(0, ...peaks) / 1024);
}

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
      /** Seconds from the call to every token. */
      async function times(nPrompt, nPredict) {
        salt++;
        const seconds = [];
        const began = performance.now();
        const tick = () => seconds.push((performance.now() - began) / 1000);
        if (two) {
          await wllama.createCompletion(text(nPrompt, salt), {
            nPredict,
            sampling: { temp: 0 },
            useCache: false,
            onNewToken: tick,
          });
        } else {
          const chunks = await wllama.createCompletion({
            prompt: text(nPrompt, salt),
            max_tokens: nPredict,
            temperature: 0,
            cache_prompt: false,
            ignore_eos: true,
            stream: true,
          });
          for await (const chunk of chunks) if (chunk.choices?.length) tick();
        }
        return seconds;
      }
      await times(32, 2);
      const report = { prefill: {}, decode: {} };
      for (const n of new Set([...prefills, ...decodes])) {
        const seconds = await times(n, 1 + steps);
        report.prefill[n] = n / seconds[0];
        report.decode[n] = (seconds.length - 1) / (seconds.at(-1) - seconds[0]);
      }
      return report;
    },
    job,
  );
  report.peakMiB = peakMiB();
  report.version = JSON.parse(readFileSync(join(folder, "../package.json"))).version;
  console.log(JSON.stringify(report));
} finally {
  await browser.close();
  server.close();
}
