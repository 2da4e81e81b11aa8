/** `deno task shard`: cuts a model into files of a size that a host takes. */
import { sha256 } from "@noble/hashes/sha2";
import { bytesToHex } from "@noble/hashes/utils";
import { OptionError } from "../error.ts";
import { MANIFEST, type Shard, type ShardManifest } from "../runtime/shards.ts";
import { type Command, main } from "./command.ts";
import { fileChunks, makeFolder, write } from "./host.ts";
import { openHeader } from "./model.ts";
import { writeOutput } from "./output.ts";
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
  example: "deno task shard models/locket-books-q8_0.gguf --size 1MiB --out public/model",

  async run(args): Promise<void> {
    const [path] = args.positional;
    if (path === undefined) throw new OptionError("MODEL", undefined, "the path of a GGUF file");
    const folder = args.string("out") ?? "shards";
    const size = args.bytes("size") ?? SHARD_BYTES;
    if (size < 1) throw new OptionError("size", size, "at least one byte");
    // before a folder is made of what is no model, or not all of one
    await openHeader(path);
    await makeFolder(folder).catch(({ message }) => {
      throw new OptionError("out", folder, `a folder that can be made: ${message}`);
    });
    const name = path.split(/[\\/]/).at(-1)!;
    const shards: Shard[] = [];
    for await (const bytes of fileChunks(path, size)) {
      const shard = `${name}.${String(shards.length).padStart(3, "0")}`;
      await writeOutput("out", `${folder}/${shard}`, [bytes]);
      shards.push({ name: shard, size: bytes.length, sha256: bytesToHex(sha256(bytes)) });
    }
    // last, so that a folder with a manifest is whole
    const manifest: ShardManifest = { version: 1, name, shards };
    const text = new TextEncoder().encode(JSON.stringify(manifest, null, 2));
    await writeOutput("out", `${folder}/${MANIFEST}`, [text]);
    const total = shards.reduce((sum, { size }) => sum + size, 0);
    write(
      `${shards.length} ${shards.length === 1 ? "shard" : "shards"}, ${formatBytes(total)}, in ${folder}\n`,
    );
  },
};

if (import.meta.main) await main(command);
