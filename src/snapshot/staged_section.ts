import { SnapshotError } from "../error.ts";
import type { Section, SequenceState, UsedSlots } from "./section.ts";

/** What a staged section does. */
export interface Staged {
  /** Its bytes as they are saved. */
  save(state: SequenceState, used: UsedSlots): Uint8Array;
  /** Whether it can have so many bytes. */
  fits(bytes: number, state: SequenceState, used: UsedSlots): boolean;
  /** Looks at what was read. @throws {SnapshotError} */
  check?(bytes: Uint8Array<ArrayBuffer>, state: SequenceState, used: UsedSlots): void;
  /** Takes what was read and checked. */
  apply(bytes: Uint8Array<ArrayBuffer>, state: SequenceState, used: UsedSlots): void;
}

/** A section that is read beside memory first, since its bytes have to be checked. */
export function stagedSection(name: string, staged: Staged): Section {
  return {
    name,
    save: (state, used) => [staged.save(state, used)],
    open(state, used, bytes) {
      if (!staged.fits(bytes, state, used)) {
        throw new SnapshotError(`size of section ${name}`, bytes, "bytes that fit the plan");
      }
      const target = new Uint8Array(bytes);
      return {
        targets: [target],
        direct: false,
        check: () => staged.check?.(target, state, used),
        apply: () => staged.apply(target, state, used),
      };
    },
  };
}
