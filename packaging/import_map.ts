/**
 * Third-party modules: named by `import_map.json`, exact versions and all.
 *
 * @module
 */
const map = async (root: URL): Promise<Record<string, string>> =>
  JSON.parse(await Deno.readTextFile(new URL("import_map.json", root))).imports;

/** `npm:@scope/name@1.2.3/path` in its parts. */
function parse(target: string): { name: string; version: string; path: string } {
  const [, name, version, path] = /^npm:((?:@[^/]+\/)?[^@/]+)@([^/]+)(\/.*)?$/
    .exec(target)!;
  return { name, version, path: path ?? "" };
}

/** The specifier by which a package manager's install finds what the import map calls `specifier`. */
export async function npmSpecifier(root: URL, specifier: string): Promise<string> {
  const target = (await map(root))[specifier];
  if (target === undefined) {
    throw new Error(`${specifier} is not in import_map.json`);
  }
  const { name, path } = parse(target);
  return name + path;
}

/** What the built files import, as the `dependencies` of a package.json. */
export async function dependencies(
  root: URL,
  files: readonly { path: string; bytes: Uint8Array }[],
): Promise<Record<string, string>> {
  const code = files.filter(({ path }) => path.endsWith(".js")).map((
    { bytes },
  ) => new TextDecoder().decode(bytes));
  const found = new Map<string, string>();
  for (const target of Object.values(await map(root))) {
    if (!target.startsWith("npm:")) continue;
    const { name, version, path } = parse(target);
    if (code.some((text) => text.includes(`"${name}${path}"`))) {
      found.set(name, version);
    }
  }
  return Object.fromEntries([...found].sort());
}
