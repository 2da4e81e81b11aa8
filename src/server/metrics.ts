/**
 * What a server has done, as Prometheus reads it.
 *
 * @module
 */
import type { GenerationTimings } from "../generate/options.ts";
import type { StepCounts } from "../model/steps.ts";

/** What a server is doing. */
export interface State {
  readonly running: number;
  readonly waiting: number;
  readonly memoryBytes: number;
  readonly steps: StepCounts;
}

/** Counters since the server began. */
export class Metrics {
  readonly #requests = new Map<string, number>();
  #promptTokens = 0;
  #cachedTokens = 0;
  #generatedTokens = 0;
  #prefillMs = 0;
  #decodeMs = 0;

  /** A request was answered, or its answer has begun. */
  request(route: string, status: number): void {
    const labels = `route="${route}",status="${status}"`;
    this.#requests.set(labels, (this.#requests.get(labels) ?? 0) + 1);
  }

  /** A reply has come to its end. */
  answered(
    promptTokens: number,
    cachedTokens: number,
    generatedTokens: number,
    timings: GenerationTimings,
  ): void {
    this.#promptTokens += promptTokens;
    this.#cachedTokens += cachedTokens;
    this.#generatedTokens += generatedTokens;
    this.#prefillMs += timings.prefillMs;
    this.#decodeMs += timings.decodeMs;
  }

  /** Texts of so many tokens were embedded. */
  embedded(tokens: number, ms: number): void {
    this.#promptTokens += tokens;
    this.#prefillMs += ms;
  }

  /** The text of `GET /metrics`. */
  text({ running, waiting, memoryBytes, steps }: State): string {
    const lines: string[] = [];
    const family = (
      name: string,
      type: "counter" | "gauge",
      help: string,
      rows: Iterable<[string, number]>,
    ) => {
      lines.push(`# HELP locket_${name} ${help}`, `# TYPE locket_${name} ${type}`);
      for (const [labels, value] of rows) lines.push(`locket_${name}${labels && `{${labels}}`} ${value}`);
    };
    const one = (name: string, type: "counter" | "gauge", help: string, value: number) =>
      family(name, type, help, [["", value]]);
    family("requests_total", "counter", "Requests by route and status", this.#requests);
    one("prompt_tokens_total", "counter", "Prompt tokens computed", this.#promptTokens);
    one("cached_tokens_total", "counter", "Prompt tokens found in a session", this.#cachedTokens);
    one("generated_tokens_total", "counter", "Tokens generated", this.#generatedTokens);
    one("prefill_seconds_total", "counter", "Time spent on prompts", this.#prefillMs / 1000);
    one("decode_seconds_total", "counter", "Time spent on replies", this.#decodeMs / 1000);
    one("decode_steps_total", "counter", "Steps of decoding, each for all who are ready", steps.steps);
    one("decoded_tokens_total", "counter", "Tokens read in those steps", steps.tokens);
    one("requests_running", "gauge", "Requests that hold a sequence", running);
    one("requests_waiting", "gauge", "Requests in line", waiting);
    one("memory_bytes", "gauge", "WebAssembly memory of the model", memoryBytes);
    return lines.join("\n") + "\n";
  }
}
