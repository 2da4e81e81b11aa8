/**
 * Calls out of a reply's text as it comes. Text that may turn out to begin a call is held back until it is known; what
 * looked like a call and is none stays text.
 *
 * @module
 */
import { StopStrings } from "../../generate/stop_strings.ts";
import type { ToolFormat } from "./formats.ts";

/** A call that has been read. */
export interface ToolCall {
  readonly name: string;
  /** JSON. */
  readonly arguments: string;
}

/** A piece of a reply. */
export type ReplyPart = { readonly text: string } | { readonly call: ToolCall };

/** Takes a reply apart. */
export class CallParser {
  readonly #format: ToolFormat;
  readonly #names: ReadonlySet<string>;
  readonly #before: string;
  /** Lets text through up to the beginning of a call. */
  #outside: StopStrings;
  /** What has come since; `undefined` outside of a call. */
  #inside: string | undefined;
  #calls = 0;

  /** @param names Of the functions that there are. */
  constructor(format: ToolFormat, names: Iterable<string>) {
    this.#format = format;
    this.#names = new Set(names);
    this.#before = format.before.trimEnd();
    this.#outside = new StopStrings([this.#before]);
    if (this.#before === "") this.#inside = "";
  }

  /** How many calls there were so far. */
  get calls(): number {
    return this.#calls;
  }

  /** Takes the next piece of text. */
  push(text: string): ReplyPart[] {
    const parts: ReplyPart[] = [];
    const { behind } = this.#format;
    for (let rest = text;;) {
      if (this.#inside === undefined) {
        const before = this.#outside.push(rest);
        this.#text(before, parts);
        if (!this.#outside.stopped) return parts;
        rest = this.#outside.rest;
        this.#outside = new StopStrings([this.#before]);
        this.#inside = "";
      }
      this.#inside += rest;
      if (behind === "") {
        const open = /^\s*(\{|$)/.test(this.#inside);
        if (!open) this.#give(parts);
        return parts;
      }
      const end = this.#end(this.#inside);
      if (end < 0) return parts;
      rest = this.#inside.slice(end + behind.length);
      this.#inside = this.#inside.slice(0, end);
      this.#close(this.#before, behind, parts);
    }
  }

  /** When no more text is to come. */
  flush(): ReplyPart[] {
    const parts: ReplyPart[] = [];
    if (this.#inside === undefined) this.#text(this.#outside.flush(), parts);
    else this.#close(this.#before, "", parts);
    return parts;
  }

  /** Where JSON ends that stands before a closing tag; a string within it may hold the tag too. */
  #end(inside: string): number {
    const { behind } = this.#format;
    let end = inside.indexOf(behind);
    while (end >= 0 && parsedJson(inside.slice(0, end)) === undefined) end = inside.indexOf(behind, end + 1);
    return end;
  }

  /** Ends what may be a call. */
  #close(before: string, behind: string, parts: ReplyPart[]): void {
    const call = this.#read(this.#inside!);
    if (call === undefined) this.#text(before + this.#inside + behind, parts);
    else {
      this.#calls++;
      parts.push({ call });
    }
    this.#inside = undefined;
  }

  /** From here on all is text. */
  #give(parts: ReplyPart[]): void {
    this.#text(this.#inside!, parts);
    this.#inside = undefined;
    this.#outside = new StopStrings([]);
  }

  #text(text: string, parts: ReplyPart[]): void {
    // line ends around calls belong to them
    const own = this.#calls > 0 && text.trim() === "" ? "" : text;
    if (own !== "") parts.push({ text: own });
  }

  #read(text: string): ToolCall | undefined {
    const { name, [this.#format.argumentsKey]: given } = parsedJson(text) ?? {};
    if (typeof name !== "string" || !this.#names.has(name)) return undefined;
    if (typeof given !== "object" || given === null) return undefined;
    return { name, arguments: JSON.stringify(given) };
  }
}

/** A value as an object, to look into; `undefined` for text that is no JSON. */
function parsedJson(text: string): Record<string, unknown> | undefined {
  try {
    return Object(JSON.parse(text));
  } catch {
    return undefined;
  }
}
