/**
 * A page in headless Chromium, its files served on loopback.
 *
 * @module
 */
import { type Browser, chromium as playwright, type Page } from "playwright-core";
import { bundleApp, chromium, installedApp } from "./tools.ts";

/** A file by its place, or its text with its type. */
export type PageFile = URL | { readonly text: string; readonly type: string };

const TYPES: Record<string, string> = {
  html: "text/html",
  js: "text/javascript",
  css: "text/css",
  wasm: "application/wasm",
};

/** A page that was opened, with all that it logged as errors. */
export interface OpenedPage extends AsyncDisposable {
  readonly page: Page;
  readonly origin: string;
  readonly errors: readonly string[];
}

/** A page in a browser whose profile outlives it. */
export interface ProfilePage extends AsyncDisposable {
  readonly page: Page;
  /** Ends the browser as a failing machine does: nothing is written any more. */
  crash(): Promise<void>;
}

/** Opens a page with what earlier ones of the same profile have stored. */
export async function openProfile(url: string, profile: string): Promise<ProfilePage> {
  const context = await playwright.launchPersistentContext(profile, {
    executablePath: await chromium(),
    args: ["--no-sandbox", "--disable-gpu"],
  });
  const page = await context.newPage();
  await page.goto(url);
  return {
    page,
    async crash() {
      const gone = new Promise((resolve) => context.once("close", resolve));
      const session = await context.newCDPSession(page);
      await session.send("Browser.crash").catch(() => {});
      await gone;
    },
    [Symbol.asyncDispose]: () => context.close(),
  };
}

/** Serves files by path. */
export function serveFiles(
  files: Readonly<Record<string, PageFile>>,
  options: Deno.ServeTcpOptions,
): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve(
    { hostname: "127.0.0.1", ...options },
    (request) => answer(request, files[new URL(request.url).pathname]),
  );
}

/**
 * The files of a page that runs one script with the installed package.
 *
 * @param script Source that is bundled.
 * @param binary Kernels that the page may fetch.
 */
export async function scriptPage(
  script: URL,
  binary: "simd128" | "relaxed",
): Promise<Record<string, PageFile>> {
  const app = await installedApp();
  const kernels = `src/kernels/wasm/${binary}.wasm`;
  return {
    "/": {
      text: `<!doctype html><script type="module" src="/src/entry/page.js"></script>`,
      type: "text/html",
    },
    "/src/entry/page.js": { text: await bundleApp(script, ["browser"]), type: "text/javascript" },
    [`/${kernels}`]: new URL(`node_modules/@locket/locket/${kernels}`, app),
  };
}

/** Serves files by path and opens `/`. */
export async function openPage(files: Readonly<Record<string, PageFile>>): Promise<OpenedPage> {
  const server = serveFiles(files, { port: 0, onListen: () => {} });
  const browser: Browser = await playwright.launch({
    executablePath: await chromium(),
    args: ["--no-sandbox", "--disable-gpu"],
  });
  const page = await browser.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  const origin = `http://127.0.0.1:${server.addr.port}`;
  await page.goto(origin);
  return {
    page,
    origin,
    errors,
    async [Symbol.asyncDispose]() {
      await browser.close();
      await server.shutdown();
    },
  };
}

async function answer(request: Request, file: PageFile | undefined): Promise<Response> {
  if (file === undefined) return new Response(null, { status: 404 });
  if (!(file instanceof URL)) return new Response(file.text, { headers: { "content-type": file.type } });
  const bytes = await Deno.readFile(file);
  const type = TYPES[file.pathname.split(".").at(-1)!] ?? "application/octet-stream";
  const range = /^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "");
  if (range === null) return new Response(bytes, { headers: { "content-type": type } });
  const start = Number(range[1]);
  return new Response(bytes.subarray(start), {
    status: 206,
    headers: { "content-type": type, "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` },
  });
}
