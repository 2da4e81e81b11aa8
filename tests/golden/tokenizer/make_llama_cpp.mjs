// What llama.cpp makes of texts.json: with GPT-2's vocabulary under every pre-tokenizer name, and with the other shared
// vocabularies and special tokens in the text. Writes llama_cpp.json.
//
//   npm install --ignore-scripts node-llama-cpp@3 && node make_llama_cpp.mjs ../../../../shared/data/tokenizers/ggml-vocab
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

const vocabularies = process.argv[2];
const here = (name) => new URL(name, import.meta.url);
const texts = JSON.parse(readFileSync(here("texts.json"), "utf8"));
const names = [
  "default", "gpt-2", "smollm", "llama-bpe", "qwen2", "qwen35", "deepseek-llm", "deepseek-coder", "deepseek-v3", "falcon",
  "bloom", "viking", "gpt-4o", "tekken", "bailingmoe", "seed-coder", "minicpm5", "glm4", "youtu",
];
const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.disabled });

async function tokenize(file, inputs, special) {
  const path = join(tmpdir(), `vocabulary-${process.pid}.gguf`);
  writeFileSync(path, file);
  const model = await llama.loadModel({ modelPath: path, vocabOnly: true });
  rmSync(path);
  const ids = inputs.map((text) => Array.from(model.tokenize(text, special)));
  await model.dispose();
  return ids;
}

/** The file with another value of tokenizer.ggml.pre. */
function withPre(file, name) {
  const key = Buffer.from("tokenizer.ggml.pre");
  const value = file.indexOf(key) + key.length + 4;
  const rest = value + 8 + Number(file.readBigUInt64LE(value));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(name.length));
  return Buffer.concat([file.subarray(0, value), length, Buffer.from(name), file.subarray(rest)]);
}

const read = (name) => readFileSync(join(vocabularies, `ggml-vocab-${name}.gguf`));
const pre = {};
for (const name of names) pre[name] = await tokenize(withPre(read("gpt-2"), name), texts, false);
const special = [
  "<|user|>\nHi there<|end|>\n<|assistant|>\n Sure.<|end|>", "<s>[INST] <<SYS>> x </s> <s>y", "a<|endoftext|>b <|endoftext|> c",
  "<｜begin▁of▁sentence｜>User: ü÷ý 1<|EOT|>\n", "<fim_prefix>x<fim_suffix>y<fim_middle>", "<unk>a <0x0A> \u2581b<|", "",
];
const all = [...texts, ...special];
const vocabulary = {};
for (const name of ["gpt-2", "starcoder", "deepseek-coder", "llama-spm", "phi-3"]) {
  vocabulary[name] = { plain: await tokenize(read(name), all, false), special: await tokenize(read(name), all, true) };
}
const version = JSON.parse(readFileSync(here("node_modules/node-llama-cpp/package.json"), "utf8")).version;
const made = { with: `node-llama-cpp ${version}, llama.cpp ${llama.llamaCppRelease.release}` };
writeFileSync(here("llama_cpp.json"), JSON.stringify({ made, special, pre, vocabulary }) + "\n");
