/**
 * A model behind OpenAI's HTTP API, in any runtime.
 *
 * @module
 */
export { createServer, type Server, type ServerOptions } from "../server/server.ts";
