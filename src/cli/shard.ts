/** `deno task shard`: cuts a model into files of a size that a host takes. */
import { sha256 } from "@noble/hashes/sha2";
import { OptionError } from "../error.ts";
import { MANIFEST, type Shard, type ShardManifest } from "../runtime/shards.ts";
import { type Command, main } from "./command.ts";
import { fileChunks, makeFolder, write, writeFile } from "./host.ts";
import { formatBytes } from "./units.ts";

/** What static assets of Workers (25 MiB) and values of KV take. */
const SHARD_BYTES = 24 * 2 ** 20;

const command: Command = {
  name: "shard",
  summary: "Cuts a model into files of at most 24 MiB, with a manifest that holds their sizes and SHA-256.",
  argument: "MODEL",
  options: {
    "out": { value: "FOLDER", help: "Where the files go (default: shards)" },
    "size": { value: "SIZE", help: "Bytes of a file at most (default: 24MiB)" },
  },
  example: "deno task shard model.gguf --out public/model",

  async run(args): Promise<void> {
    const [path] = args.positional;
    if (path === undefined) throw new OptionError("MODEL", "", "the path of a GGUF file");
    const folder = args.string("out") ?? "shards";
    const size = args.bytes("size") ?? SHARD_BYTES;
    if (size < 1) throw new OptionError("size", size, "at least one byte");
    await makeFolder(folder);
    const name = path.split(/[\\/]/).at(-1)!;
    const shards: Shard[] = [];
    for await (const bytes of fileChunks(path, size)) {
      const shard = `${name}.${String(shards.length).padStart(3, "0")}`;
      await writeFile(`${folder}/${shard}`, bytes);
      const digest = Array.from(sha256(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
      shards.push({ name: shard, size: bytes.length, sha256: digest });
    }
    // last, so that a folder with a manifest is whole
    const manifest: ShardManifest = { version: 1, name, shards };
    await writeFile(`${folder}/${MANIFEST}`, new TextEncoder().encode(JSON.stringify(manifest, null, 2)));
    const total = shards.reduce((sum, { size }) => sum + size, 0);
    write(`${shards.length} shards, ${formatBytes(total)}, in ${folder}\n`);
  },
};

if (import.meta.main) await main(command);
