/**
 * What the commands need of the machine they run on.
 *
 * @module
 */

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

/** A whole text file; `undefined` when it can't be read. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch {
    return undefined;
  }
}

/** A whole file; `undefined` when it can't be read. */
export async function readBytes(path: string | URL): Promise<Uint8Array | undefined> {
  try {
    return await Deno.readFile(path);
  } catch {
    return undefined;
  }
}

/** Writes a whole text file. */
export async function writeText(path: string, text: string): Promise<void> {
  await Deno.writeTextFile(path, text);
}

/** Whether there is a file of this name. */
export const isFile = (path: string): Promise<boolean> =>
  Deno.stat(path).then((found) => found.isFile, () => false);

/** Writes a file from pieces, beside its place, and moves it there once it is whole. */
export async function writeChunks(path: string, pieces: Iterable<Uint8Array>): Promise<void> {
  {
    using file = await Deno.open(`${path}.part`, { write: true, create: true, truncate: true });
    for (const piece of pieces) {
      for (let done = 0; done < piece.length;) done += await file.write(piece.subarray(done));
    }
  }
  await Deno.rename(`${path}.part`, path);
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

/** Writes a file beside its place and moves it there, so that it is never half of one. */
export async function writeFile(path: string | URL, bytes: Uint8Array): Promise<void> {
  const part = typeof path === "string" ? `${path}.part` : new URL(`${path}.part`);
  await Deno.writeFile(part, bytes);
  await Deno.rename(part, path);
}

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

/** Serves HTTP until Ctrl-C; `listening` is told where. */
export async function serveHttp(
  handler: (request: Request) => Promise<Response>,
  { hostname, port }: { readonly hostname: string; readonly port: number },
  listening: (url: string) => void,
): Promise<void> {
  const server = Deno.serve({
    hostname,
    port,
    onListen: (address) => listening(`http://${address.hostname}:${address.port}`),
  }, handler);
  onInterrupt(() => void server.shutdown());
  await server.finished;
}

/** Arguments of the command. */
export const commandArguments = (): readonly string[] => Deno.args;

/** Whether the reader of standard output has gone. */
export const isBrokenPipe = (error: unknown): boolean => error instanceof Deno.errors.BrokenPipe;

/** Ends the process. */
export const exit = (code: number): never => Deno.exit(code);
