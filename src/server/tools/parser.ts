/**
 * Calls out of a reply's text as it comes:
 *
 *     text  <tool_call>  {"name": "weather", "arguments":  {"city": "Oslo"}  }  </tool_call>  text
 *           held back    read as a whole: the name          passed on         left out
 *
 * Text that may turn out to begin a call is held back until it is known; what looked like a call and is none stays text.
 *
 * @module
 */
import { StopStrings } from "../../generate/stop_strings.ts";
import { JsonEnd } from "./json_end.ts";
import type { ToolFormat } from "./formats.ts";

/** A piece of a reply: text, the function of a call that begins, or some of its arguments, which are JSON in the end. */
export type ReplyPart = { readonly text: string } | { readonly call: string } | {
  readonly arguments: string;
};

/** Takes a reply apart. */
export class CallParser {
  readonly #format: ToolFormat;
  readonly #names: ReadonlySet<string>;
  readonly #before: string;
  readonly #head: RegExp;
  #state: "text" | "head" | "arguments" | "tail";
  /** Lets text through up to the beginning of a call. */
  #outside: StopStrings;
  /** What has come since, and has not been told. */
  #inside = "";
  #end = new JsonEnd();
  #calls = 0;

  /** @param names Of the functions that there are. */
  constructor(format: ToolFormat, names: Iterable<string>) {
    this.#format = format;
    this.#names = new Set(names);
    this.#before = format.before.trimEnd();
    this.#head = new RegExp(
      `^\\s*\\{\\s*"name":\\s*"([^"\\\\]*)"\\s*,\\s*"${format.argumentsKey}":\\s*(?=\\{)`,
    );
    this.#outside = new StopStrings([this.#before]);
    this.#state = this.#before === "" ? "head" : "text";
  }

  /** How many calls there were so far. */
  get calls(): number {
    return this.#calls;
  }

  /** Takes the next piece of text. */
  push(text: string): ReplyPart[] {
    const parts: ReplyPart[] = [];
    let rest: string | undefined = text;
    while (rest !== undefined) rest = this.#take(rest, parts);
    return parts;
  }

  /** When no more text is to come. */
  flush(): ReplyPart[] {
    const parts: ReplyPart[] = [];
    if (this.#state === "text") this.#text(this.#outside.flush(), parts);
    else if (this.#state === "head") this.#whole(this.#inside, "", parts);
    return parts;
  }

  /** @returns What stands behind the part that was read, to be taken next. */
  #take(text: string, parts: ReplyPart[]): string | undefined {
    switch (this.#state) {
      case "text": {
        this.#text(this.#outside.push(text), parts);
        if (!this.#outside.stopped) return undefined;
        this.#state = "head";
        return this.#outside.rest;
      }
      case "head":
        this.#inside += text;
        return this.#takeHead(parts);
      case "arguments": {
        const length = this.#end.push(text);
        if (length > 0) parts.push({ arguments: text.slice(0, length) });
        if (!this.#end.done) return undefined;
        this.#state = "tail";
        this.#inside = "";
        return text.slice(length);
      }
      case "tail": {
        this.#inside += text;
        const { behind } = this.#format;
        const end = behind === "" ? -1 : this.#inside.indexOf(behind);
        return end < 0 ? undefined : this.#leave(this.#inside.slice(end + behind.length));
      }
    }
  }

  #takeHead(parts: ReplyPart[]): string | undefined {
    const inside = this.#inside;
    const [head, name] = this.#head.exec(inside) ?? [];
    if (head !== undefined && this.#names.has(name)) {
      this.#calls++;
      parts.push({ call: name });
      this.#state = "arguments";
      this.#end = new JsonEnd();
      return inside.slice(head.length);
    }
    const { behind } = this.#format;
    if (behind === "") {
      if (/^\s*(\{|$)/.test(inside)) return undefined;
      this.#inside = "";
      this.#state = "text";
      this.#outside = new StopStrings([]);
      return inside;
    }
    const end = this.#jsonEnd(inside);
    if (end < 0) return undefined;
    this.#whole(inside.slice(0, end), behind, parts);
    return this.#leave(inside.slice(end + behind.length));
  }

  /** Goes on with text. */
  #leave(rest: string): string {
    this.#inside = "";
    this.#state = "text";
    this.#outside = new StopStrings([this.#before]);
    return rest;
  }

  /** Where JSON ends that stands before a closing tag; a string within it may hold the tag too. */
  #jsonEnd(inside: string): number {
    const { behind } = this.#format;
    let end = inside.indexOf(behind);
    while (end >= 0 && parsedJson(inside.slice(0, end)) === undefined) end = inside.indexOf(behind, end + 1);
    return end;
  }

  /** What may be a call, written in another order or left without its end. */
  #whole(text: string, behind: string, parts: ReplyPart[]): void {
    const { name, [this.#format.argumentsKey]: given } = parsedJson(text) ?? {};
    if (typeof name === "string" && this.#names.has(name) && typeof given === "object" && given !== null) {
      this.#calls++;
      parts.push({ call: name }, { arguments: JSON.stringify(given) });
    } else this.#text(this.#before + text + behind, parts);
  }

  #text(text: string, parts: ReplyPart[]): void {
    // line ends around calls belong to them
    const own = this.#calls > 0 && text.trim() === "" ? "" : text;
    if (own !== "") parts.push({ text: own });
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
