/**
 * A model behind OpenAI's HTTP API, as one function from request to response: the same for Deno, Workers and any other
 * host.
 *
 * @module
 */
import { bodyLimit } from "hono/body-limit";
import { cors } from "hono/cors";
import type { Context } from "hono";
import { Hono } from "hono/tiny";
import type { Model } from "../model/engine.ts";
import { guardedBody, type WorkerContext } from "../runtime/guarded_body.ts";
import type { SessionStore } from "../stores/store.ts";
import { chunkedAnswer, type Shape, wholeAnswer } from "./answer.ts";
import { ApiError, toApiError } from "./api_error.ts";
import { authorize } from "./authorize.ts";
import { chatShape, planChat } from "./chat.ts";
import { completionShape, completionTask } from "./completion.ts";
import { embeddingAnswer, embeddingTask } from "./embeddings.ts";
import { checkLoadOptions } from "./load_options.ts";
import { Metrics } from "./metrics.ts";
import { type LocketRequest, readChat, readCompletion, readEmbeddings } from "./schemas.ts";
import { Service, type Task } from "./service.ts";
import { conversationOf, SESSION_HEADER } from "./sessions.ts";
import { eventBody } from "./sse.ts";

/** How to serve. */
export interface ServerOptions {
  /** The model's name in the API. Default: its file's `general.name`. */
  readonly name?: string;
  /** Keys of which a request has to bring one. Default: none is asked for. */
  readonly apiKey?: string | readonly string[];
  /** Web origins whose pages may call. Default: any. */
  readonly origins?: readonly string[];
  /** Requests that may wait for a sequence; more are sent away with 429. Default 8. */
  readonly queue?: number;
  /** Largest body of a request, in bytes. Default 1 MiB. */
  readonly maxBodyBytes?: number;
  /** Most tokens of a reply. Default: what the context has room for. */
  readonly maxTokens?: number;
  /** Time that a request has in all, waiting included. Default 300,000. */
  readonly deadlineMs?: number;
  /** Jinja template for chats, in place of the model's own. */
  readonly chatTemplate?: string;
  /**
   * Where conversations are kept that requests name, in the header `x-locket-session` or the field `locket.session`, so that
   * any server with the same store goes on with them. Who knows a name can continue it.
   */
  readonly sessions?: SessionStore;
}

/** A server that has not been bound to a host. */
export interface Server {
  /**
   * Answers a request.
   *
   * @param env Ignored; here so that a Worker's handler can hand over all that it gets.
   * @param context A Worker's execution context.
   */
  fetch(request: Request, env?: unknown, context?: Partial<WorkerContext>): Promise<Response>;
  /** Loads the model, where that has not been done. */
  ready(): Promise<Model>;
}

const API = ["/v1/models", "/v1/chat/completions", "/v1/completions", "/v1/embeddings"];
const ROUTES = ["/healthz", "/metrics", ...API];

const NOT_LOADED = { running: 0, waiting: 0, memoryBytes: 0, steps: { steps: 0, tokens: 0 } };

type Read<T> = (body: unknown) => T;

/** What every request may hold. */
interface NamesModel {
  readonly model?: string | null;
  readonly locket?: LocketRequest | null;
}

/**
 * Makes a server. Nothing is loaded before the first request, or `ready()`.
 *
 * @param load Loads the model; asked again after a failure.
 *
 * @example
 * ```ts
 * import { loadModel } from "@locket/locket";
 * import { createServer } from "@locket/locket/server";
 *
 * const { fetch } = createServer(() => loadModel("models/locket-books-q8_0.gguf", { context: 256 }));
 * const response = await fetch(new Request("http://localhost/v1/models"));
 * console.log(await response.json());
 * ```
 */
export function createServer(load: () => Promise<Model>, options: ServerOptions = {}): Server {
  const server = new OpenAiServer(load, options);
  return {
    fetch: async (request, _env, context) => await server.app.fetch(request, { context }),
    ready: async () => (await server.service()).model,
  };
}

class OpenAiServer {
  readonly app = new Hono<{ Bindings: { context?: Partial<WorkerContext> } }>();
  readonly #load: () => Promise<Model>;
  readonly #options: ServerOptions;
  readonly #metrics = new Metrics();
  readonly #created = Math.floor(Date.now() / 1000);
  #loading: Promise<Service> | undefined;
  #service: Service | undefined;

  constructor(load: () => Promise<Model>, options: ServerOptions) {
    this.#load = load;
    this.#options = options;
    this.#route();
  }

  /** The model at service; loaded once, for all who ask meanwhile. */
  service(): Promise<Service> {
    const { queue = 8, deadlineMs = 300_000 } = this.#options;
    this.#loading ??= this.#load().then(
      (model) => this.#service = new Service(model, queue, deadlineMs, this.#metrics),
    ).catch((cause) => {
      this.#loading = undefined;
      console.error(cause);
      throw new ApiError(503, "The model can't be loaded", "model_unavailable", null, 5);
    });
    return this.#loading;
  }

  #route(): void {
    const { apiKey = [], origins = ["*"], maxBodyBytes = 2 ** 20 } = this.#options;
    const keys = typeof apiKey === "string" ? [apiKey] : apiKey;
    const { app } = this;
    app.use(async (c, next) => {
      await next();
      const path = c.req.path.replace(/^(\/v1\/models)\/.*/s, "$1");
      const route = ROUTES.includes(path) ? path : "other";
      this.#metrics.request(route, c.res.status);
    });
    app.use(cors({ origin: [...origins].length === 1 ? origins[0] : [...origins], maxAge: 86400 }));
    app.use("/v1/*", async (c, next) => {
      if (keys.length > 0) await authorize(c.req.raw, keys);
      await next();
    });
    const tooLarge = () =>
      new ApiError(413, `A body may have ${maxBodyBytes} bytes`, "body_too_large").response();
    app.use("/v1/*", bodyLimit({ maxSize: maxBodyBytes, onError: tooLarge }));
    app.get("/healthz", (c) => c.json({ status: this.#service === undefined ? "not loaded" : "ok" }));
    app.get("/metrics", (c) => c.text(this.#metrics.text(this.#service?.state ?? NOT_LOADED)));
    app.get(
      "/v1/models",
      async (c) => c.json({ object: "list", data: [this.#card((await this.#ready(c)).model)] }),
    );
    app.get("/v1/models/:id{.+}", async (c) => {
      const { model } = await this.#ready(c);
      this.#checkName(c.req.param("id"), this.#name(model));
      return c.json(this.#card(model));
    });
    app.post("/v1/chat/completions", (c) =>
      this.#complete(c, readChat, ({ model }, request) => {
        const { task, parser } = planChat(model, request, this.#options.chatTemplate);
        return { task, shape: chatShape(model.tokenizer, parser) };
      }));
    app.post("/v1/completions", (c) =>
      this.#complete(c, readCompletion, ({ model }, request) => ({
        task: completionTask(model, request),
        shape: completionShape(model.tokenizer),
      })));
    app.post("/v1/embeddings", (c) => this.#embed(c));
    app.notFound((c) =>
      new ApiError(404, `There is no ${c.req.method} ${c.req.path}`, "unknown_url").response()
    );
    app.onError((error) => {
      const apiError = toApiError(error);
      if (apiError.status === 500) console.error(error);
      return apiError.response();
    });
  }

  async #ready(c: Context): Promise<Service> {
    const service = this.service();
    // the load must outlive the request that happened to begin it
    c.env.context?.waitUntil?.(service.catch(() => {}));
    return await service;
  }

  #name(model: Model): string {
    return this.#options.name ?? model.metadata.string("general.name", "model");
  }

  #card(model: Model) {
    return { id: this.#name(model), object: "model", created: this.#created, owned_by: "locket" };
  }

  /** @throws {ApiError} When another model is asked for. */
  #checkName(asked: string, name: string): void {
    if (asked === name) return;
    throw new ApiError(404, `There is no model ${asked}, only ${name}`, "model_not_found", "model");
  }

  /** Reads a body and finds the model that it is for. */
  async #read<T extends NamesModel>(c: Context, read: Read<T>) {
    const request = read(
      await c.req.json().catch(() => {
        throw new ApiError(400, "The body is no JSON", "invalid_json");
      }),
    );
    const service = await this.#ready(c);
    const name = this.#name(service.model);
    if (typeof request.model === "string") this.#checkName(request.model, name);
    checkLoadOptions(service.model.plan, request.locket);
    return { request, service, name };
  }

  async #embed(c: Context): Promise<Response> {
    const { request, service, name } = await this.#read(c, readEmbeddings);
    if (c.req.raw.headers.has(SESSION_HEADER)) {
      throw new ApiError(400, "Texts are embedded outside of any session", "invalid_value", SESSION_HEADER);
    }
    const task = embeddingTask(service.model, request);
    const vectors = await service.embed(task.texts, c.req.raw.signal);
    return c.json(embeddingAnswer(vectors, task, name) as object);
  }

  async #complete<
    T extends NamesModel & {
      stream?: boolean | null;
      stream_options?: { include_usage?: boolean | null } | null;
    },
  >(
    c: Context,
    read: Read<T>,
    plan: (service: Service, request: T) => { task: Task; shape: Shape },
  ): Promise<Response> {
    const { request, service, name } = await this.#read(c, read);
    const planned = plan(service, request);
    const { shape } = planned;
    const conversation = conversationOf(c.req.raw, request.locket?.session, this.#options.sessions);
    const task = { ...this.#cap(planned.task), conversation };
    service.check(task);
    const left = new AbortController();
    const signal = AbortSignal.any([c.req.raw.signal, left.signal]);
    const { context } = c.env as { context?: Partial<WorkerContext> };
    if (!request.stream) {
      const answer = wholeAnswer(service, task, shape, name, signal);
      context?.waitUntil?.(answer.catch(() => {}));
      return c.json(await answer as object);
    }
    const usage = request.stream_options?.include_usage ?? false;
    const events = chunkedAnswer(service, task, shape, name, signal, usage);
    const body = eventBody(events, () => left.abort());
    const headers = { "content-type": "text/event-stream", "cache-control": "no-cache" };
    const guarded = context?.waitUntil !== undefined && "IdentityTransformStream" in globalThis;
    return c.body(guarded ? guardedBody(body, context as WorkerContext) : body, 200, headers);
  }

  /** @throws {ApiError} When more tokens are asked for than the server gives. */
  #cap(task: Task): Task {
    const { maxTokens: most } = this.#options;
    const { maxTokens = most } = task.options;
    if (most !== undefined && maxTokens! > most) {
      const message = `max_tokens is ${maxTokens}, at most ${most} are given`;
      throw new ApiError(400, message, "invalid_value", "max_tokens");
    }
    return { ...task, options: { ...task.options, maxTokens } };
  }
}
