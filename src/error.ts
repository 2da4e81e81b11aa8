/**
 * Every error that Locket throws on purpose. Each says what was attempted, the value found and the value wanted;
 * the built-in class that fits is subclassed only to carry data. An abort rethrows `signal.reason` and is none of these.
 *
 * @module
 */

/** Of a value that a message quotes. */
const MOST_QUOTED = 200;

/** A value as a message quotes it: on one line, and not the whole of a long one. */
function shown(value: unknown): string {
  if (value === undefined) return "not given";
  const text = asJson(value) ?? String(value);
  return text.length <= MOST_QUOTED ? text : `${text.slice(0, MOST_QUOTED)}…`;
}

/** `undefined` for what JSON has no words for. */
function asJson(value: unknown): string | undefined {
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

/** A GGUF file that can't be what it claims. `field` names the header field, `offset` its byte in the file. */
export class GgufError extends SyntaxError {
  override readonly name = "GgufError";
  /** @param field Of the header. @param offset Byte of the file at which it stands. */
  constructor(message: string, readonly field: string, readonly offset: number) {
    super(`${message} (field ${field}, byte ${offset})`);
  }
}

/** One named part of the memory plan. */
export interface RegionBytes {
  /** What it holds: `weights`, `kv`, … */
  readonly name: string;
  /** Its size. */
  readonly bytes: number;
}

/** The plan needs more than `maxBytes`. The message holds the table of regions. */
export class MemoryBudgetError extends RangeError {
  override readonly name = "MemoryBudgetError";
  /** @param required Bytes that the plan needs. @param budget Bytes that it may. @param regions What they go to. */
  constructor(readonly required: number, readonly budget: number, readonly regions: readonly RegionBytes[]) {
    const width = Math.max(...regions.map((r) => r.name.length));
    const table = regions.map((r) =>
      `  ${r.name.padEnd(width)}  ${r.bytes.toLocaleString("en").padStart(14)} bytes`
    );
    super(
      `the memory plan needs ${required.toLocaleString("en")} bytes, the budget is ` +
        `${budget.toLocaleString("en")} bytes:\n${table.join("\n")}`,
    );
  }
}

/** The file is sound, but asks for something that Locket does not have. */
export class UnsupportedModelError extends TypeError {
  override readonly name = "UnsupportedModelError";
  /** @param what Of the model. @param found As the file has it. @param supported What it could be instead. */
  constructor(readonly what: string, readonly found: unknown, readonly supported: readonly unknown[]) {
    super(`${what} ${shown(found)} is not supported; supported: ${supported.join(", ")}`);
  }
}

/** An option, a token id or a length outside what the call or the plan allows. */
export class OptionError extends RangeError {
  override readonly name = "OptionError";
  /** @param option Its name, with the place within it. @param found As it was given. @param wanted In words. */
  constructor(readonly option: string, readonly found: unknown, readonly wanted: string) {
    super(`${option} is ${shown(found)}, wanted ${wanted}`);
  }
}

/** The bytes of a model could not be read to their end, or are not the ones that were asked for. */
export class SourceError extends Error {
  override readonly name = "SourceError";
  /** @param source Path, URL or name of the file. */
  constructor(message: string, readonly source: string, options?: ErrorOptions) {
    super(`${source}: ${message}`, options);
  }
}

/** A snapshot that is damaged, or was made of something else. Nothing has been restored of it. */
export class SnapshotError extends Error {
  override readonly name = "SnapshotError";
  /** @param what Part of the snapshot. @param found As it is there. @param wanted As it is here. */
  constructor(readonly what: string, readonly found: unknown, readonly wanted: unknown) {
    const text = (value: unknown) => typeof value === "string" ? value : JSON.stringify(value);
    super(`the snapshot can't be restored: ${what} is ${text(found)}, wanted ${text(wanted)}`);
  }
}

/** The host has said that the CPU time of the request is nearly used up. What was read of the prompt stays read. */
export class CpuLimitError extends Error {
  override readonly name = "CpuLimitError";
  /** @param done Tokens of the prompt that were read. */
  constructor(readonly done: number, readonly wanted: number) {
    super(
      `the CPU time of the request is nearly used up: ${done} of ${wanted} tokens of the prompt are read`,
    );
  }
}

/** The kernels could not be loaded, or one of them trapped. */
export class KernelError extends Error {
  override readonly name = "KernelError";
  /** @param kernel Which one, or `load`. */
  constructor(message: string, readonly kernel: string, options?: ErrorOptions) {
    super(`${kernel}: ${message}`, options);
  }
}
