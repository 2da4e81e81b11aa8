/**
 * What the commands need of the machine they run on.
 *
 * @module
 */

import { fileURLToPath } from "node:url";

const encoder = new TextEncoder();

/** Standard output, one whole piece at a time. */
export function write(text: string): void {
  writeAll(Deno.stdout, encoder.encode(text));
}

/** Standard error. */
export function writeError(text: string): void {
  writeAll(Deno.stderr, encoder.encode(text));
}

function writeAll(to: { writeSync(bytes: Uint8Array): number }, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += to.writeSync(bytes.subarray(done));
}

/** Whether a person watches standard output. */
export const watched = (): boolean => Deno.stdout.isTerminal();

/** Whether standard output shows colours and its reader wants them. */
export const coloured = (): boolean => watched() && !Deno.noColor;

/** Whether a person watches standard error. */
export const errorsWatched = (): boolean => Deno.stderr.isTerminal();

/** Whether a person types standard input. */
export const typed = (): boolean => Deno.stdin.isTerminal();

/** Characters in a line of the terminal, 80 where there is none. */
export function columns(): number {
  return (watched() && Deno.consoleSize().columns) || 80;
}

/** Memory of the whole process, in bytes. */
export function processBytes(): { readonly resident: number; readonly heap: number } {
  const { rss, heapUsed } = Deno.memoryUsage();
  return { resident: rss, heap: heapUsed };
}

/** A whole text file, or standard input for `-`; `undefined` when it can't be read. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return path === "-" ? await new Response(Deno.stdin.readable).text() : await Deno.readTextFile(path);
  } catch {
    return undefined;
  }
}

/** A whole file; `undefined` when it can't be read. */
export async function readBytes(path: string): Promise<Uint8Array | undefined> {
  try {
    return await Deno.readFile(path);
  } catch {
    return undefined;
  }
}

/** The path of a `file:` URL. */
export const filePath: (url: URL) => string = fileURLToPath;

/** Whether there is a file of this name. */
export const isFile = (path: string): Promise<boolean> =>
  Deno.stat(path).then((found) => found.isFile, () => false);

/** Whether there is a folder of this name. */
export const isFolder = (path: string): Promise<boolean> =>
  Deno.stat(path).then((found) => found.isDirectory, () => false);

/** Makes a file beside `path` and removes it. @throws What keeps files from being written there. */
export async function tryToWrite(path: string): Promise<void> {
  const part = `${path}.${crypto.randomUUID()}.part`;
  (await Deno.open(part, { write: true, createNew: true })).close();
  await Deno.remove(part);
}

/** A file in pieces of `size` bytes, the last one shorter. */
export async function* fileChunks(path: string, size: number): AsyncGenerator<Uint8Array> {
  using file = await Deno.open(path, { read: true });
  const buffer = new Uint8Array(size);
  for (;;) {
    let filled = 0;
    while (filled < size) {
      const n = await file.read(buffer.subarray(filled));
      if (n === null) break;
      filled += n;
    }
    if (filled > 0) yield buffer.subarray(0, filled);
    if (filled < size) return;
  }
}

/** Makes a folder, unless it exists. */
export const makeFolder = (path: string): Promise<void> => Deno.mkdir(path, { recursive: true });

/** Lines of standard input, as they are entered. */
export async function* inputLines(): AsyncGenerator<string> {
  let rest = "";
  for await (const piece of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop()!;
    for (const line of lines) yield line.replace(/\r$/, "");
  }
  if (rest !== "") yield rest;
}

/** Calls `handler` at each Ctrl-C instead of ending the process; returns what undoes it. */
export function onInterrupt(handler: () => void): () => void {
  Deno.addSignalListener("SIGINT", handler);
  return () => Deno.removeSignalListener("SIGINT", handler);
}

/** The same where the system asks the process to end, which Windows doesn't. */
function onTerminate(handler: () => void): () => void {
  if (Deno.build.os === "windows") return () => {};
  Deno.addSignalListener("SIGTERM", handler);
  return () => Deno.removeSignalListener("SIGTERM", handler);
}

/** Exit code of a process that Ctrl-C has ended. */
export const INTERRUPTED = 130;

/**
 * Serves HTTP until Ctrl-C or SIGTERM, which let replies that have begun come to their end; the second one does not wait
 * for them.
 *
 * @param listening Told where.
 * @param ending Told that no more requests are taken.
 * @throws What keeps the port from being used.
 */
export async function serveHttp(
  handler: (request: Request) => Promise<Response>,
  { hostname, port }: { readonly hostname: string; readonly port: number },
  { listening, ending }: { readonly listening: (url: string) => void; readonly ending: () => void },
): Promise<void> {
  const server = Deno.serve({
    hostname,
    port,
    onListen: (at) =>
      listening(`http://${at.hostname.includes(":") ? `[${at.hostname}]` : at.hostname}:${at.port}`),
  }, handler);
  let asked = false;
  const end = () => {
    if (asked) exit(INTERRUPTED);
    asked = true;
    ending();
    void server.shutdown();
  };
  const undo = [onInterrupt(end), onTerminate(end)];
  await server.finished;
  undo.forEach((stop) => stop());
}

/** Arguments of the command. */
export const commandArguments = (): readonly string[] => Deno.args;

/** Whether the reader of standard output has gone. */
export const isBrokenPipe = (error: unknown): boolean => error instanceof Deno.errors.BrokenPipe;

/** Ends the process. */
export const exit = (code: number): never => Deno.exit(code);
