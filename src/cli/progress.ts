/**
 * The progress bar while a model loads.
 *
 * @module
 */
import type { Progress } from "../gguf/source.ts";
import { columns, errorsWatched, exit, INTERRUPTED, onInterrupt, writeError } from "./host.ts";
import { formatBytes } from "./units.ts";

/** Loading that takes less than this, in ms, shows no bar. */
const PATIENCE_MS = 200;
/** Silence of a source, in ms, after which it is told what is waited for. */
const SILENCE_MS = 2000;

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

/** Ends what says that nothing comes. */
const ERASE = "\r\x1b[K";

/** A line on standard error that says, as long as nothing comes of `name`, that it is waited for. Returns what ends it. */
export function waitingLine(name: string): () => void {
  if (!errorsWatched()) return () => {};
  let shown = false;
  const timer = setTimeout(() => {
    shown = true;
    writeError(` waiting for ${name}`.slice(0, columns() - 1));
  }, SILENCE_MS);
  return () => {
    clearTimeout(timer);
    if (shown) writeError(ERASE);
    shown = false;
  };
}

/** A bar on standard error where a person watches it, else one that shows nothing. @param name What is loaded. */
export async function progressBar(name: string): Promise<ProgressBar> {
  if (!errorsWatched()) return { show: () => {}, stop: () => {} };
  const { default: { Presets, SingleBar } } = await import("cli-progress");
  const bar = new SingleBar({
    format: " loading {bar} {percentage} % · {loadedText} of {totalText} · {eta_formatted}{silence}",
    hideCursor: true,
    clearOnComplete: true,
  }, Presets.shades_classic);
  const start = performance.now();
  let shown = false;
  let silent: ReturnType<typeof setTimeout> | undefined;
  let stopWaiting = waitingLine(name);
  const stop = restoring(() => {
    clearTimeout(silent);
    stopWaiting();
    if (shown) bar.stop();
  });
  return {
    show({ loaded, total }) {
      stopWaiting();
      stopWaiting = () => {};
      const update = (silence: string) => {
        const texts = { loadedText: formatBytes(loaded), totalText: formatBytes(total), silence };
        if (shown) bar.update(loaded, texts);
        else bar.start(total, loaded, texts);
        shown = true;
      };
      if (shown || performance.now() - start > PATIENCE_MS) update("");
      clearTimeout(silent);
      silent = setTimeout(() => update(" · waiting for more"), SILENCE_MS);
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
