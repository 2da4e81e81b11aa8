/** `deno task serve`: a model behind OpenAI's HTTP API. */
import { OptionError } from "../error.ts";
import { createServer } from "../server/server.ts";
import { fileSessions } from "../stores/files.ts";
import { type Command, main } from "./command.ts";
import { makeFolder, serveHttp, tryToWrite, write, writeError } from "./host.ts";
import { load, MODEL_OPTIONS } from "./model.ts";
import { readFileOption } from "./prompt.ts";
import { formatBytes } from "./units.ts";

const MAX_PORT = 65535;

const command: Command = {
  name: "serve",
  summary:
    "Serves a model over HTTP as OpenAI's API has it: /v1/chat/completions, /v1/completions, /v1/embeddings,\n" +
    "/v1/models, and /healthz and /metrics.",
  options: {
    ...MODEL_OPTIONS,
    "host": { value: "ADDRESS", help: "Address to listen on (default: 127.0.0.1)" },
    "port": { value: "N", help: "Port to listen on, 0 for any free one (default: 8080)" },
    "name": { value: "TEXT", help: "The model's name in the API (default: its file's)" },
    "sequences": { value: "N", help: "Requests answered at once (default: 2)" },
    "queue": { value: "N", help: "Requests that may wait beyond those (default: 8)" },
    "max-tokens": { value: "N", help: "Tokens of a reply at most (default: what the context holds)" },
    "api-key-file": { value: "FILE", help: "Keys, one a line, of which a request has to bring one" },
    "chat-template-file": { value: "FILE", help: "Jinja template in place of the model's own" },
    "sessions": { value: "FOLDER", help: "Keep conversations there that requests name (docs/sessions.md)" },
  },
  example: "deno task serve --model PATH --port 8080",

  async run(args): Promise<void> {
    const keyText = await readFileOption(args, "api-key-file");
    const keys = keyText?.split("\n").map((line) => line.trim()).filter((line) => line !== "");
    if (keys?.length === 0) {
      throw new OptionError("api-key-file", args.string("api-key-file"), "a file with keys");
    }
    const sessions = args.string("sessions");
    if (sessions !== undefined) await checkFolder(sessions);
    const at = { hostname: args.string("host") ?? "127.0.0.1", port: args.integer("port", 0) ?? 8080 };
    if (at.port > MAX_PORT) throw new OptionError("port", at.port, `0 … ${MAX_PORT}`);
    const options = {
      name: args.string("name"),
      queue: args.integer("queue", 0),
      maxTokens: args.integer("max-tokens", 1),
      apiKey: keys,
      chatTemplate: await readFileOption(args, "chat-template-file"),
      sessions: sessions === undefined ? undefined : fileSessions(sessions),
    };
    const { model } = await load(args, { sequences: args.integer("sequences", 1) ?? 2 });
    const server = createServer(() => Promise.resolve(model), options);
    await server.ready();
    await serveHttp((request) => server.fetch(request), at, {
      listening: (url) =>
        write(`${url}/v1 · ${formatBytes(model.memoryBytes)} of WebAssembly memory, for good\n`),
      ending: () =>
        writeError("No more requests; replies that have begun come to their end, or Ctrl-C again\n"),
    }).catch(({ message }) => {
      throw new OptionError(
        "port",
        `${at.hostname}:${at.port}`,
        `an address to listen on that is free: ${message}`,
      );
    });
    model.dispose();
  },
};

/** @throws {OptionError} When conversations can't be kept there. */
async function checkFolder(folder: string): Promise<void> {
  await makeFolder(folder).then(() => tryToWrite(`${folder}/conversation`)).catch(({ message }) => {
    throw new OptionError("sessions", folder, `a folder that can be written: ${message}`);
  });
}

if (import.meta.main) await main(command);
