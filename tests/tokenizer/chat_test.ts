import { assert, assertEquals, assertThrows } from "@std/assert";
import { GgufError, OptionError } from "../../src/error.ts";
import { applyChatTemplate } from "../../src/tokenizer/mod.ts";
import { flat, metadataOf } from "./support.ts";

const CHATML = "{%- if tools %}tools: {{ tools | tojson }}\n{%- endif %}" +
  "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}" +
  "{%- endfor %}{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}";
const messages = [{ role: "system", content: "Be brief." }, { role: "user", content: "Hi" }];
const prompt = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n";

Deno.test("applyChatTemplate() renders the file's own template", () => {
  const metadata = metadataOf({ "tokenizer.chat_template": CHATML });
  assertEquals(applyChatTemplate(metadata, messages), `${prompt}<|im_start|>assistant\n`);
  assertEquals(applyChatTemplate(metadata, messages, { addGenerationPrompt: false }), prompt);
  const withTools = applyChatTemplate(metadata, messages, { tools: [{ name: "f" }] });
  assertEquals(withTools, `tools: [{"name": "f"}]${prompt}<|im_start|>assistant\n`);
});

Deno.test("applyChatTemplate() gives the template the texts of BOS and EOS, and the date", () => {
  const template =
    "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ strftime_now('%Y') }}{{ pad_token }}";
  const metadata = metadataOf({
    "tokenizer.chat_template": template,
    tokens: flat(["a", "<s>", "</s>"]),
    bos_token_id: 1,
    eos_token_id: 2,
  });
  assertEquals(
    applyChatTemplate(metadata, [{ role: "user", content: "x" }]),
    `<s>x</s>${new Date().getFullYear()}`,
  );
});

Deno.test("applyChatTemplate() takes the template for tools where there are tools and such a template", () => {
  const metadata = metadataOf({
    "tokenizer.chat_template": "plain",
    "tokenizer.chat_template.tool_use": "with tools",
  });
  assertEquals(applyChatTemplate(metadata, []), "plain");
  assertEquals(applyChatTemplate(metadata, [], { tools: [] }), "with tools");
});

Deno.test("applyChatTemplate() refuses a file without template, or with one that can't be parsed", () => {
  const absent = assertThrows(() => applyChatTemplate(metadataOf({}), messages), GgufError);
  assertEquals(absent.field, "tokenizer.chat_template");
  const broken = assertThrows(
    () => applyChatTemplate(metadataOf({ "tokenizer.chat_template": "{% for %}" }), messages),
    GgufError,
  );
  assertEquals([broken.field, broken.offset], ["tokenizer.chat_template", 100]);
});

Deno.test("applyChatTemplate() passes on why a template refuses the messages", () => {
  const template = "{{ raise_exception('Conversation roles must alternate') }}";
  const run = () => applyChatTemplate(metadataOf({ "tokenizer.chat_template": template }), messages);
  const error = assertThrows(run, OptionError, "Conversation roles must alternate");
  assertEquals(error.option, "messages");
  assert(error.cause instanceof Error);
});
