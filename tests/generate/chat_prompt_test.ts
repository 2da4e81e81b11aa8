import { assertEquals, assertThrows } from "@std/assert";
import { GgufError, OptionError } from "../../src/error.ts";
import { chatPrompt } from "../../src/generate/chat_prompt.ts";
import { Session } from "../../src/session/session.ts";
import { loadBundled } from "./bundled.ts";

const TEMPLATE =
  "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}" +
  "{% if tools %}{{ tools[0].name }}{% endif %}{% if add_generation_prompt %}assistant:{% endif %}";
const messages = [{ role: "user", content: "Good morning" }, { role: "assistant", content: "Yes" }];

Deno.test("chatPrompt() is the template's text, its control tokens as tokens", async () => {
  const model = await loadBundled({ context: 64 });
  const { tokenizer } = model;
  const { bosId, eosId } = tokenizer;
  const plain = (text: string) => tokenizer.encode(text, { addSpecial: false });
  const [first, second, rest] = ["user: Good morning", "assistant: Yes", "assistant:"].map(plain);
  const wanted = [bosId!, ...first, eosId!, ...second, eosId!, ...rest];
  assertEquals(chatPrompt(model, messages, { template: TEMPLATE }), wanted);
  const tools = [{ name: "weather" }];
  const told = chatPrompt(model, messages, { template: TEMPLATE, tools, addGenerationPrompt: false });
  assertEquals(told.slice(-plain("weather").length), plain("weather"));
  assertThrows(() => chatPrompt(model, messages), GgufError, "no chat template");
  assertThrows(() => chatPrompt(model, messages, { template: "{% for" }), OptionError, "template is");
  model.dispose();
});

Deno.test("a Session takes text as the ids that generate() makes of it", async () => {
  const model = await loadBundled({ context: 64, sequences: 2 });
  const [byText, byIds] = [new Session(model.sequence()), new Session(model.sequence())];
  const options = { maxTokens: 6 };
  for (const text of ["The old house", "The old house stood by the river"]) {
    const ids = model.tokenizer.encode(text);
    const { tokens } = await (await byText.generate(text, options)).result();
    assertEquals(tokens, (await (await byIds.generate(ids, options)).result()).tokens);
    assertEquals(byText.reusedTokens, byIds.reusedTokens);
  }
  model.dispose();
});
