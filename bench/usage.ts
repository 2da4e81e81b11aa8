/**
 * The command lines of benches, plots and builds. What `--help` prints is the comment that a file begins with, so that it is
 * written once; a flag that a file doesn't know is refused before anything is done.
 *
 * @module
 */

/** How a file is called. */
export interface CommandLine {
  /** The option of this name of `parseArgs`. */
  readonly unknown: (arg: string, key?: string) => boolean;
  /** Ends the process for want of an argument. @param what Its name in the comment. */
  readonly lacks: (what: string) => never;
}

/** @param url Of the file, `import.meta.url`. */
export function commandLine(url: string): CommandLine {
  return {
    unknown(arg, key) {
      if (key === undefined) return true;
      if (key !== "help") refuse(`there is no ${arg}`);
      console.log(usageOf(Deno.readTextFileSync(new URL(url))));
      Deno.exit(0);
    },
    lacks: (what) => refuse(`${what} is missing`),
  };
}

function refuse(problem: string): never {
  console.error(`error: ${problem}; see --help`);
  Deno.exit(1);
}

/** The comment at the head of a source, as text. */
function usageOf(source: string): string {
  const [, comment] = /^\/\*\*\n([^]*?)\n \*\//.exec(source)!;
  return comment.replaceAll(/^ \* ?/gm, "").replace(/\n*@module$/, "");
}
