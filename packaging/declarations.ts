/**
 * Type declarations by TypeScript's compiler.
 *
 * @module
 */
import ts from "typescript";
import type { OutputFile } from "./bundle.ts";

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
    files.push({ path: path.slice(1), bytes: new TextEncoder().encode(text) });
  });
  return files;
}
