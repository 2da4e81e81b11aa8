/**
 * Type declarations by TypeScript's compiler.
 *
 * @module
 */
import ts from "typescript";
import type { OutputFile } from "./bundle.ts";

/** Of TypeScript 5.2 and later, for who compiles for a standard library that has no `Symbol.dispose` yet. */
const DISPOSABLE = `/// <reference lib="esnext.disposable" />\n`;

/** A `.d.ts` for each source that the entries reach. */
export function declarations(root: URL, entries: readonly string[]): OutputFile[] {
  const base = root.pathname;
  const program = ts.createProgram(entries.map((entry) => base + entry), {
    declaration: true,
    emitDeclarationOnly: true,
    allowImportingTsExtensions: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ["lib.esnext.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
    types: [],
    strict: true,
    rootDir: base,
    outDir: "/",
  });
  const files: OutputFile[] = [];
  program.emit(undefined, (path, text) => {
    const whole = text.includes("[Symbol.dispose]") ? DISPOSABLE + text : text;
    files.push({ path: path.slice(1), bytes: new TextEncoder().encode(whole) });
  });
  return files;
}
