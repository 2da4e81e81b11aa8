/**
 * The progress bar while a model loads.
 *
 * @module
 */
import type { Progress } from "../gguf/source.ts";
import { errorsWatched, exit, INTERRUPTED, onInterrupt } from "./host.ts";
import { formatBytes } from "./units.ts";

/** Loading that takes less than this, in ms, shows no bar. */
const PATIENCE_MS = 200;

/** Shows how far loading has come. */
export interface ProgressBar {
  readonly show: (progress: Progress) => void;
  stop(): void;
}

/** Shows how far a piece of work has come. */
export interface WorkBar {
  readonly show: (progress: { readonly done: number; readonly total: number }) => void;
  stop(): void;
}

/** A bar for work of some length on standard error where a person watches it, else one that shows nothing. */
export async function workBar(what: string): Promise<WorkBar> {
  if (!errorsWatched()) return { show: () => {}, stop: () => {} };
  const { default: { Presets, SingleBar } } = await import("cli-progress");
  const format = ` ${what} {bar} {percentage} % · {eta_formatted}`;
  const bar = new SingleBar({ format, hideCursor: true, clearOnComplete: true }, Presets.shades_classic);
  const stop = restoring(() => bar.stop());
  bar.start(1, 0);
  return { show: ({ done, total }) => bar.update(done / total), stop };
}

/** A bar on standard error where a person watches it, else one that shows nothing. */
export async function progressBar(): Promise<ProgressBar> {
  if (!errorsWatched()) return { show: () => {}, stop: () => {} };
  const { default: { Presets, SingleBar } } = await import("cli-progress");
  const bar = new SingleBar({
    format: " loading {bar} {percentage} % · {loadedText} of {totalText} · {eta_formatted}",
    hideCursor: true,
    clearOnComplete: true,
  }, Presets.shades_classic);
  const start = performance.now();
  let shown = false;
  const stop = restoring(() => shown && bar.stop());
  return {
    show({ loaded, total }) {
      const texts = { loadedText: formatBytes(loaded), totalText: formatBytes(total) };
      if (shown) bar.update(loaded, texts);
      else if (performance.now() - start > PATIENCE_MS) {
        bar.start(total, loaded, texts);
        shown = true;
      }
    },
    stop,
  };
}

/** Stops the bar at Ctrl-C too, so that the terminal gets back its cursor and its wrapping of lines. */
function restoring(stop: () => void): () => void {
  const undo = onInterrupt(() => {
    stop();
    exit(INTERRUPTED);
  });
  return () => {
    undo();
    stop();
  };
}
