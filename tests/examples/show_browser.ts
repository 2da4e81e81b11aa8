/** `deno task example:browser`: serves the example page. */
import { serveFiles } from "../tools/browser.ts";
import { browserExample } from "./browser_files.ts";

const files = await browserExample();
serveFiles(files, { port: 8000, onListen: ({ port }) => console.log(`http://localhost:${port}`) });
