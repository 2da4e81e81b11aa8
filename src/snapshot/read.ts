import { sha256 } from "@noble/hashes/sha2";
import type { KeeperState } from "../cache/cache_keeper.ts";
import { isCount } from "../count.ts";
import { SnapshotError } from "../error.ts";
import { type Binding, checkBinding } from "./binding.ts";
import { DIGEST_BYTES, PREFIX_BYTES, readHead, readPrefix } from "./format.ts";
import { readKeeperState } from "./keeper_state.ts";
import type { OpenSection, Section, SequenceState, UsedSlots } from "./section.ts";

/** What a snapshot is restored to. */
export interface Incoming {
  /** `position` is that of the snapshot. */
  state(position: number): SequenceState;
  readonly binding: Binding;
  /** Tokens that the text can have. */
  readonly context: number;
  readonly sections: readonly Section[];
}

/** What has been read, beside what lies in memory. */
export interface Restored {
  readonly position: number;
  readonly keeper: KeeperState | null;
  readonly storage: unknown;
}

/** Where the next bytes go, or how many of them are passed over. */
type Target = Uint8Array | number;

/**
 * Reads a snapshot piece by piece, as they come. Whatever is wrong with it is told by a {@link SnapshotError}; nothing is
 * allocated but what the plan allows.
 */
export class SnapshotReader {
  readonly #to: Incoming;
  readonly #write: boolean;
  readonly #verify: boolean;
  readonly #hash = sha256.create();
  readonly #targets: Generator<Target, Restored>;
  readonly #digest = new Uint8Array(DIGEST_BYTES);
  #target: Target = 0;
  #left = 0;
  #restored: Restored | undefined;

  /** @param mode.write Whether memory is written. @param mode.verify Whether the digest has to be right. */
  constructor(to: Incoming, { write, verify }: { readonly write: boolean; readonly verify: boolean }) {
    this.#to = to;
    this.#write = write;
    this.#verify = verify;
    this.#targets = this.#parse();
    this.#next();
  }

  /** Takes the next bytes. @throws {SnapshotError} */
  push(piece: Uint8Array): void {
    for (let at = 0; at < piece.length;) {
      if (this.#restored !== undefined) {
        throw new SnapshotError("its end", `${piece.length - at} bytes more`, "nothing behind the digest");
      }
      const n = Math.min(piece.length - at, this.#left);
      const part = piece.subarray(at, at + n);
      const target = this.#target;
      if (typeof target !== "number") target.set(part, target.length - this.#left);
      if (this.#verify && target !== this.#digest) this.#hash.update(part);
      this.#left -= n;
      at += n;
      if (this.#left === 0) this.#next();
    }
  }

  /** All bytes have come. @throws {SnapshotError} When they are not all. */
  finish(): Restored {
    if (this.#restored !== undefined) return this.#restored;
    throw new SnapshotError("its end", "before all bytes have come", "all of them");
  }

  #next(): void {
    while (this.#left === 0) {
      const { done, value } = this.#targets.next();
      if (done) {
        this.#restored = value;
        return;
      }
      this.#target = value;
      this.#left = typeof value === "number" ? value : value.length;
    }
  }

  *#parse(): Generator<Target, Restored> {
    const prefix = new Uint8Array(PREFIX_BYTES);
    yield prefix;
    const json = new Uint8Array(readPrefix(prefix));
    yield json;
    const head = readHead(json);
    const { binding, context, sections } = this.#to;
    checkBinding(head.binding, binding);
    const { position } = head;
    if (!isCount(position) || position > context) {
      throw new SnapshotError("length of its text", position, `at most ${context} tokens, as planned`);
    }
    const state = this.#to.state(position);
    const keeper = readKeeperState(head.keeper, state.plan);
    const used = readUsed(head.used, state);
    const sizes = readSizes(head.sections, sections);

    const opened: OpenSection[] = [];
    for (const [i, section] of sections.entries()) {
      const open = section.open(state, used, sizes[i]);
      for (const target of open.targets) yield open.direct && !this.#write ? target.length : target;
      open.check?.();
      opened.push(open);
    }
    yield this.#digest;
    if (this.#verify && this.#hash.digest().some((byte, i) => byte !== this.#digest[i])) {
      throw new SnapshotError("its SHA-256", "another one", "that of its bytes: it is damaged");
    }
    if (this.#write) { for (const open of opened) open.apply?.(); }
    return { position, keeper, storage: head.storage };
  }
}

function readUsed(found: unknown, { cache }: SequenceState): UsedSlots {
  const sound = Array.isArray(found) && found.length === cache.length &&
    cache.every(({ nKvHeads, capacity }, layer) => {
      const heads = found[layer];
      if (!Array.isArray(heads) || heads.length !== nKvHeads) return false;
      const most = heads.find((n) => !isCount(n) || n > capacity);
      if (most === undefined) return true;
      throw new SnapshotError(`slots used in layer ${layer}`, most, `at most ${capacity}, as planned`);
    });
  if (sound) return found;
  throw new SnapshotError("its used slots", "damaged", `a number for each KV head of ${cache.length} layers`);
}

/** Sizes of the sections, which have to be those wanted. */
function readSizes(found: unknown, sections: readonly Section[]): number[] {
  const listed = Array.isArray(found) ? found.map((entry) => Array.isArray(entry) ? entry : []) : [];
  const names = listed.map(([name]) => name);
  const wanted = sections.map(({ name }) => name);
  if (names.join() !== wanted.join()) throw new SnapshotError("its sections", names, wanted);
  return listed.map(([name, bytes]) => {
    if (isCount(bytes)) return bytes;
    throw new SnapshotError(`size of section ${name}`, bytes, "a whole number");
  });
}
