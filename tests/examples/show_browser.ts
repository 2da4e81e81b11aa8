/** `deno task example:browser`: serves the example page. */
import { serveFiles } from "../tools/browser.ts";
import { browserExample } from "./browser_files.ts";

console.log("Building the package and the page, which takes a minute the first time");
const files = await browserExample();
const listening = { onListen: ({ port }: { port: number }) => console.log(`http://localhost:${port}`) };
try {
  serveFiles(files, { port: 8000, ...listening });
} catch (error) {
  if (!(error instanceof Deno.errors.AddrInUse)) throw error;
  serveFiles(files, { port: 0, ...listening });
}
