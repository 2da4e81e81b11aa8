import { assertEquals } from "@std/assert";
import { BUNDLED } from "../generate/bundled.ts";

/** The bundled model with a chat template in front of its other keys. */
export async function withChatTemplate(): Promise<Uint8Array> {
  const file = await Deno.readFile(BUNDLED);
  const encoder = new TextEncoder();
  const key = encoder.encode("tokenizer.chat_template");
  const template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:";
  const bare = 8 + key.length + 4 + 8 + template.length;
  // A multiple of the file's alignment keeps every tensor aligned.
  const text = encoder.encode(
    template.replace("{% endfor %}", (tag) => tag + `{#${" ".repeat(60 - bare % 32)}#}`),
  );
  const pair = new Uint8Array(8 + key.length + 4 + 8 + text.length);
  const view = new DataView(pair.buffer);
  view.setBigUint64(0, BigInt(key.length), true);
  pair.set(key, 8);
  view.setUint32(8 + key.length, 8, true);
  view.setBigUint64(8 + key.length + 4, BigInt(text.length), true);
  pair.set(text, 8 + key.length + 4 + 8);
  assertEquals(pair.length % 32, 0);
  const header = new DataView(file.buffer);
  header.setBigUint64(16, header.getBigUint64(16, true) + 1n, true);
  const all = new Uint8Array(file.length + pair.length);
  all.set(file.subarray(0, 24));
  all.set(pair, 24);
  all.set(file.subarray(24), 24 + pair.length);
  return all;
}
