/** `deno task chat`: a conversation in the terminal. */
import { OptionError } from "../error.ts";
import { chatPrompt } from "../generate/chat_prompt.ts";
import type { GenerateOptions } from "../generate/options.ts";
import type { Model } from "../model/engine.ts";
import { Session } from "../session/session.ts";
import { TEMPLATE } from "../tokenizer/chat.ts";
import type { ChatMessage } from "../tokenizer/mod.ts";
import { type Command, main } from "./command.ts";
import { inputLines, onInterrupt, typed, write, writeError } from "./host.ts";
import { load, MODEL_OPTIONS, openHeader } from "./model.ts";
import { checkOutput, writeOutput, WRITTEN_AT_ONCE } from "./output.ts";
import { readChunks, REPLY_OPTIONS, replyOptions } from "./prompt.ts";
import { readMessages, writeMessages } from "./saved.ts";

/** Share of the context that a conversation may fill, with room for a reply behind it. */
const MOST_FULL = 0.75;

/** Share that stays when it is fuller: what is left is read anew, so not for a single exchange each time. */
const STAYS_FULL = 0.5;

const COMMANDS = "/reset forgets the conversation, /exit ends it";

const command: Command = {
  name: "chat",
  summary: "Talks with a model that brings a chat template. A line is a message.\n" +
    `${COMMANDS}, Ctrl-C cuts a reply short.`,
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
    if (!metadata.has(TEMPLATE)) {
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
    const save = args.string("save");
    if (save !== undefined) await checkOutput("save", save);
    const chat = new Chat(model, options, save);
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
    else if (/^\/\w+$/.test(message)) writeError(`(there is no ${message}: ${COMMANDS})\n`);
    else if (message !== "") await chat.say(message).catch(goOn);
    invite();
  }
}

/** Tells of what was refused: a message that is too long, a file that can't be written. The conversation stays. */
function goOn(error: unknown): void {
  if (!(error instanceof OptionError)) throw error;
  writeError(`(${error.message})\n`);
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
    const { ids, messages } = this.#fitting([...this.#messages, { role: "user", content: message }]);
    const generation = await this.#session.generate(ids, this.#options);
    const forgotten = (this.#messages.length + 1 - messages.length) / 2;
    if (forgotten > 0) writeError(`(the context is full: exchanges forgotten, oldest first: ${forgotten})\n`);
    const stopListening = onInterrupt(() => void generation.cancel());
    try {
      for await (const { text } of generation) write(text);
      write("\n");
      this.#messages = [...messages, { role: "assistant", content: (await generation.result()).text }];
      if (this.#save === undefined) return;
      this.#session.note = writeMessages([...this.#opening, ...this.#messages]);
      await writeOutput("save", this.#save, this.#session.saveChunks(WRITTEN_AT_ONCE));
    } finally {
      stopListening();
    }
  }

  /**
   * A conversation with its ids, without its oldest exchanges where it has become too long.
   *
   * @throws {OptionError} When its last message alone is.
   */
  #fitting(messages: readonly ChatMessage[]) {
    const { context } = this.#model.plan;
    const idsFrom = (first: number) => chatPrompt(this.#model, [...this.#opening, ...messages.slice(first)]);
    let ids = idsFrom(0);
    let first = 0;
    if (ids.length > MOST_FULL * context) {
      while (first < messages.length - 1 && ids.length > STAYS_FULL * context) ids = idsFrom(first += 2);
    }
    if (ids.length < context) return { ids, messages: messages.slice(first) };
    throw new OptionError(
      "message",
      `${ids.length} tokens`,
      `less than the context of ${context}, with the reply`,
    );
  }
}

if (import.meta.main) await main(command);
