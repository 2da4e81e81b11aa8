/** `deno task inspect`: what a GGUF file says of itself. */
import { ggmlTypeName, type GgufModel, type GgufStrings, type GgufValue, isStrings } from "../gguf/mod.ts";
import { type Command, main } from "./command.ts";
import { write } from "./host.ts";
import { openHeader } from "./model.ts";
import { formatBytes } from "./units.ts";

/** Elements of an array, and characters of a string, that are shown. */
const SHOWN = 6;
const WIDTH = 70;

const command: Command = {
  name: "inspect",
  summary:
    "Shows the metadata and the tensors of a GGUF file (default: the bundled model). Reads no weights.",
  argument: "MODEL",
  options: { "json": { help: "Print one JSON object instead; of long arrays their beginning" } },
  example: "deno task inspect models/locket-books-q8_0.gguf",

  async run(args): Promise<void> {
    const { model } = await openHeader(args.positional[0]);
    if (args.on("json")) write(JSON.stringify(toJson(model)) + "\n");
    else write(toText(model));
  },
};

function toJson({ version, fileBytes, alignment, metadata, tensors }: GgufModel) {
  return {
    version,
    file_bytes: fileBytes,
    alignment,
    metadata: Object.fromEntries(Array.from(metadata.keys(), (key) => [key, plain(metadata.get(key)!)])),
    tensors: tensors.map(({ name, type, shape, bytes, offset, file }) => {
      return { name, type: ggmlTypeName(type), shape, bytes, offset, file };
    }),
  };
}

/** A value for JSON: an array is its length and its beginning. */
function plain(value: GgufValue): unknown {
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object") return value;
  const first = Array.from({ length: Math.min(SHOWN, value.length) }, (_, i) => element(value, i));
  return { length: value.length, first };
}

function element(value: Exclude<GgufValue, string | number | bigint | boolean>, i: number): unknown {
  return isStrings(value) ? stringAt(value, i) : plain(value[i]);
}

function stringAt({ bytes, offsets }: GgufStrings, i: number): string {
  return new TextDecoder().decode(bytes.subarray(offsets[i], offsets[i + 1]));
}

function toText(model: GgufModel): string {
  const { version, fileBytes, metadata, tensors } = model;
  const nWeights = tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), 0);
  const lines = [
    `GGUF version ${version}, ${formatBytes(fileBytes)}, ${tensors.length} tensors, ${
      nWeights.toLocaleString("en")
    } weights`,
    "",
  ];
  const keys = [...metadata.keys()];
  const width = Math.max(0, ...keys.map((key) => key.length));
  for (const key of keys) lines.push(`${key.padEnd(width)}  ${brief(metadata.get(key)!)}`);
  lines.push("");
  const nameWidth = Math.max(0, ...tensors.map(({ name }) => name.length));
  for (const { name, type, shape, bytes } of tensors) {
    const size = shape.join(" × ").padStart(16);
    lines.push(
      `${name.padEnd(nameWidth)}  ${ggmlTypeName(type).padEnd(6)} ${size}  ${formatBytes(bytes).padStart(8)}`,
    );
  }
  return lines.join("\n") + "\n";
}

/** A value in the rest of a line. */
function brief(value: GgufValue): string {
  const json = JSON.stringify(plain(value));
  if (typeof value !== "object") {
    return json.length > WIDTH ? `${json.slice(0, WIDTH)}… (${json.length} characters)` : json;
  }
  const { length, first } = plain(value) as { length: number; first: unknown[] };
  const shown = first.map((one) => JSON.stringify(one)).join(", ");
  return `${length > first.length ? `[${shown}, …]` : `[${shown}]`} (${length.toLocaleString("en")})`;
}

if (import.meta.main) await main(command);
