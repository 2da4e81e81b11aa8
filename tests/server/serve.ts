/**
 * The bundled model behind a server, with a template, since it has none of its own.
 *
 * @module
 */
import { createServer, type Server, type ServerOptions } from "../../src/server/server.ts";
import { loadModel, type LoadModelOptions, type Model } from "../../mod.ts";

export const NAME = "locket-books";
const MODEL = new URL("../../models/locket-books-q8_0.gguf", import.meta.url);

/** Messages without anything between them. */
const TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}";

export interface TestServer extends AsyncDisposable {
  readonly server: Server;
  readonly model: Model;
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>;
  get(path: string, init?: RequestInit): Promise<Response>;
}

/** A server that is called without a network. */
export async function testServer(
  options: ServerOptions = {},
  load: LoadModelOptions = {},
): Promise<TestServer> {
  const server = createServer(() => loadModel(MODEL, { context: 512, ...load }), {
    chatTemplate: TEMPLATE,
    ...options,
  });
  const model = await server.ready();
  const at = (path: string, init: RequestInit = {}) =>
    server.fetch(new Request(`http://localhost${path}`, init));
  return {
    server,
    model,
    get: at,
    post: (path, body, init) => {
      const text = typeof body === "string" ? body : JSON.stringify(body);
      return at(path, { method: "POST", body: text, ...init });
    },
    [Symbol.asyncDispose]: () => Promise.resolve(model.dispose()),
  };
}

/** Data of the events in an answer. */
export async function events(response: Response): Promise<string[]> {
  const text = await response.text();
  return text.split("\n\n").filter((event) => event.startsWith("data: ")).map((event) => event.slice(6));
}

/** A value of `GET /metrics`. */
export async function metric({ get }: TestServer, name: string): Promise<number> {
  const text = await (await get("/metrics")).text();
  return Number(new RegExp(`^${name} (.*)$`, "m").exec(text)![1]);
}
