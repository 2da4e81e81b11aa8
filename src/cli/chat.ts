/** `deno task chat`: a conversation in the terminal. */
import { OptionError } from "../error.ts";
import { encodePrompt } from "../generate/encode_prompt.ts";
import type { GenerateOptions } from "../generate/options.ts";
import type { Model } from "../model/engine.ts";
import { Session } from "../session/session.ts";
import { applyChatTemplate, type ChatMessage } from "../tokenizer/mod.ts";
import { type Command, main } from "./command.ts";
import { inputLines, onInterrupt, typed, write, writeError } from "./host.ts";
import { load, MODEL_OPTIONS, openHeader } from "./model.ts";
import { readChunks, REPLY_OPTIONS, replyOptions } from "./prompt.ts";
import { readMessages, saveChunks, SAVED_AT_ONCE, writeMessages } from "./saved.ts";

/** Share of the context kept free for a reply; the oldest exchanges are dropped for it. */
const REPLY_SHARE = 0.25;

const command: Command = {
  name: "chat",
  summary: "Talks with a model that brings a chat template. A line is a message.\n" +
    "/reset forgets the conversation, /exit ends it, Ctrl-C cuts a reply short.",
  options: {
    ...MODEL_OPTIONS,
    ...REPLY_OPTIONS,
    "system": { value: "TEXT", help: "What the model is told before the conversation" },
    "save": { value: "FILE", help: "Save the conversation with its cache there after every reply" },
    "from": { value: "FILE", help: "Go on with a conversation that --save has saved" },
  },
  example: 'deno task chat --model PATH --system "Answer in one sentence."',

  async run(args): Promise<void> {
    const options = replyOptions(args, { temperature: 0.7, topP: 0.95 });
    const { model: { metadata } } = await openHeader(args.string("model"));
    if (!metadata.has("tokenizer.chat_template")) {
      const name = args.string("model") ?? "the bundled model";
      throw new OptionError(
        "model",
        name,
        "one with a chat template (`deno task generate` continues plain text)",
      );
    }
    const { model } = await load(args);
    const system = args.string("system");
    const from = args.string("from");
    if (system !== undefined && from !== undefined) {
      throw new OptionError("system", system, "none beside --from, which brings the conversation's own");
    }
    const chat = new Chat(model, options, args.string("save"));
    if (from !== undefined) await chat.restore(from);
    else if (system !== undefined) chat.open({ role: "system", content: system });
    await converse(chat);
  },
};

/** Reads messages and writes replies until the input ends. */
async function converse(chat: Chat): Promise<void> {
  const invite = () => typed() && write("> ");
  invite();
  for await (const line of inputLines()) {
    const message = line.trim();
    if (message === "/exit") break;
    if (message === "/reset") chat.reset();
    else if (message !== "") await chat.say(message);
    invite();
  }
}

/** A conversation. What the cache holds of it is not computed again. */
class Chat {
  readonly #model: Model;
  readonly #options: GenerateOptions;
  readonly #session: Session;
  readonly #save: string | undefined;
  #opening: readonly ChatMessage[] = [];
  #messages: ChatMessage[] = [];

  /** @param save File in which it is kept. */
  constructor(model: Model, options: GenerateOptions, save: string | undefined) {
    this.#model = model;
    this.#options = options;
    this.#save = save;
    this.#session = new Session(model.sequence());
  }

  /** Begins with a message that stays. */
  open(message: ChatMessage): void {
    this.#opening = [message];
  }

  /** Takes up a conversation from its file. */
  async restore(path: string): Promise<void> {
    await this.#session.restoreFrom(readChunks("from", path));
    const messages = readMessages(this.#session.note);
    const opening = messages[0]?.role === "system" ? 1 : 0;
    this.#opening = messages.slice(0, opening);
    this.#messages = messages.slice(opening);
  }

  reset(): void {
    this.#messages = [];
  }

  /** Writes the reply to a message as it comes. */
  async say(message: string): Promise<void> {
    this.#messages.push({ role: "user", content: message });
    const generation = await this.#session.generate(this.#prompt(), this.#options);
    const stopListening = onInterrupt(() => void generation.cancel());
    for await (const { text } of generation) write(text);
    stopListening();
    write("\n");
    this.#messages.push({ role: "assistant", content: (await generation.result()).text });
    if (this.#save === undefined) return;
    this.#session.note = writeMessages([...this.#opening, ...this.#messages]);
    await saveChunks(this.#save, this.#session.saveChunks(SAVED_AT_ONCE));
  }

  /** The whole conversation as ids, without its oldest exchanges where it has become too long. */
  #prompt(): number[] {
    const { tokenizer, metadata, plan: { context } } = this.#model;
    for (;;) {
      const text = applyChatTemplate(metadata, [...this.#opening, ...this.#messages]);
      const ids = encodePrompt(tokenizer, text, { parseSpecial: true });
      if (ids.length <= context * (1 - REPLY_SHARE) || this.#messages.length < 3) return ids;
      this.#messages.splice(0, 2);
      writeError("(the oldest exchange no longer fits into the context and is forgotten)\n");
    }
  }
}

if (import.meta.main) await main(command);
