/**
 * A process that saves again and again, and is killed at random moments.
 *
 * @module
 */
import { assert } from "@std/assert";
import { assertSame, bytesOf } from "./contract.ts";

/** Bytes of the snapshot of a seed: sizes differ, so that one can't pass for another. */
export const snapshotOf = (seed: number) => bytesOf(1_000_000 + seed % 7 * 300_000, seed);

/** What was done. */
export interface Killed {
  readonly saves: number;
  readonly kills: number;
  /** Kills that came between the beginning and the end of a save. */
  readonly left: number;
}

/**
 * Starts a process that prints `begin SEED` and `end SEED` around each of its saves of `snapshotOf(SEED)`, kills it after
 * some saves at a random moment, and looks what is there: the last one that was saved, or the one that was begun.
 */
export async function killedSaves({ args, kills, read }: {
  readonly args: readonly string[];
  readonly kills: number;
  readonly read: () => Promise<Uint8Array | undefined>;
}): Promise<Killed> {
  let [seed, saves, left] = [1, 0, 0];
  let last: number | undefined;
  for (let kill = 0; kill < kills; kill++) {
    const child = new Deno.Command(Deno.execPath(), {
      args: [...args, String(seed)],
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    let begun: number | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let text = "";
    for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (text + piece).split("\n");
      text = lines.pop()!;
      for (const line of lines) {
        const [what, of] = line.split(" ");
        if (what === "begin") begun = Number(of);
        else [last, begun, saves] = [Number(of), undefined, saves + 1];
        timer ??= setTimeout(() => child.kill("SIGKILL"), Math.random() * 500);
      }
    }
    clearTimeout(timer);
    assert(!(await child.status).success, "the process ended by itself");
    const found = await read();
    if (begun !== undefined) left++;
    // It may have come to the end of a save that it could not tell of.
    const candidates = [last, begun].filter((seed) => seed !== undefined);
    const seen = candidates.find((seed) => snapshotOf(seed).length === found?.length);
    if (seen !== undefined) assertSame(found, snapshotOf(seen));
    else assert(last === undefined && found === undefined, `${found?.length} bytes, of neither snapshot`);
    last = seen;
    seed = (begun ?? last ?? 0) + 1;
  }
  return { saves, kills, left };
}
