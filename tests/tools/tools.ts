/**
 * What tests start: other runtimes, a browser, and an application that has installed our package from its tarball. All of
 * it lies in `tests/tools/node_modules` and `dist/`, out of the project's own imports.
 *
 * @module
 */
const root = new URL("../../", import.meta.url);
const tools = new URL("./", import.meta.url);

/** Runs a program to its end. */
export async function run(
  command: readonly string[],
  options: Deno.CommandOptions = {},
): Promise<{ success: boolean; stdout: string; stderr: string }> {
  const [program, ...args] = command;
  try {
    const { success, stdout, stderr } = await new Deno.Command(program, {
      ...options,
      args,
    }).output();
    const decoder = new TextDecoder();
    return {
      success,
      stdout: decoder.decode(stdout),
      stderr: decoder.decode(stderr),
    };
  } catch (error) {
    return { success: false, stdout: "", stderr: String(error) };
  }
}

/** Runs a program to its end and gives its output. @throws {Error} With what it says, when it fails. */
export async function output(command: readonly string[], options: Deno.CommandOptions = {}): Promise<string> {
  const { success, stdout, stderr } = await run(command, options);
  if (!success) {
    throw new Error(`${command.join(" ")} failed:\n${stderr}${stdout}`);
  }
  return stdout;
}

async function exists(url: URL): Promise<boolean> {
  return await Deno.stat(url).then(() => true, () => false);
}

/** The path of a program among the tools, installed when they are not; `undefined`, said aloud, when it can't be had. */
export async function tool(name: "node" | "bun" | "workerd"): Promise<string | undefined> {
  if (!await alone(installTools)) return undefined;
  const path = new URL(`node_modules/.bin/${name}`, tools).pathname;
  if ((await run([path, "--version"])).success) return path;
  console.warn(`SKIPPED: ${name} does not run on this machine`);
}

/** The command that starts wrangler, in a Node that is new enough; `undefined` where there is none. */
export async function wrangler(): Promise<readonly string[] | undefined> {
  const node = await tool("node");
  return node === undefined
    ? undefined
    : [node, new URL("node_modules/wrangler/bin/wrangler.js", tools).pathname];
}

/** @returns Whether they are there. */
async function installTools(): Promise<boolean> {
  const wanted = JSON.stringify(
    JSON.parse(await Deno.readTextFile(new URL("package.json", tools))).dependencies,
  );
  const stamp = new URL("node_modules/.installed", tools);
  if (await Deno.readTextFile(stamp).catch(() => "") === wanted) return true;
  const flags = ["--no-package-lock", "--no-audit", "--no-fund"];
  const { success, stderr } = await run(["npm", "install", ...flags], { cwd: tools });
  if (success) await Deno.writeTextFile(stamp, wanted);
  else console.warn(`SKIPPED: the test tools can't be installed: ${stderr.split("\n", 1)[0]}`);
  return success;
}

/** The browser of this machine; `undefined`, said aloud, where there is none. */
export async function chromium(): Promise<string | undefined> {
  for (const path of ["chromium", "chromium-browser", "google-chrome"]) {
    const { success, stdout } = await run(["which", path]);
    if (success) return stdout.trim();
  }
  console.warn("SKIPPED: no Chromium on this machine");
}

/** A folder whose `node_modules` holds our package as `npm install` puts it there: one for each state of the sources. */
export async function installedApp(): Promise<URL> {
  const hash = await sourceHash();
  const app = new URL(`dist/app-${hash.slice(0, 12)}/`, root);
  return await alone(async () => {
    if (await exists(new URL("installed", app))) return app;
    await forgetOldApps();
    await output([Deno.execPath(), "run", "-A", "packaging/npm.ts"], { cwd: root });
    await Deno.mkdir(app, { recursive: true });
    const npm = new URL("dist/npm/", root);
    const tarball = await output(["npm", "pack", "--silent", "--pack-destination", app.pathname], {
      cwd: npm,
    });
    await Deno.writeTextFile(new URL("package.json", app), JSON.stringify({ private: true, type: "module" }));
    const flags = ["--no-audit", "--no-fund", "--no-package-lock"];
    await output(["npm", "install", ...flags, `./${tarball.trim()}`], { cwd: app });
    await Deno.writeTextFile(new URL("installed", app), "");
    return app;
  });
}

/** Runs `work` while no other process of these tests does. */
async function alone<T>(work: () => Promise<T>): Promise<T> {
  await Deno.mkdir(new URL("dist/", root), { recursive: true });
  using lock = await Deno.open(new URL("dist/lock", root), { create: true, write: true });
  await lock.lock(true);
  return await work();
}

const HOUR_MS = 3_600_000;

async function forgetOldApps(): Promise<void> {
  const dist = new URL("dist/", root);
  for await (const { name } of Deno.readDir(dist)) {
    const url = new URL(name, dist);
    const { mtime } = await Deno.stat(url);
    if (name.startsWith("app-") && Date.now() - mtime!.getTime() > HOUR_MS) {
      await Deno.remove(url, { recursive: true });
    }
  }
}

/** A digest of all that goes into the package. */
async function sourceHash(): Promise<string> {
  const digests: string[] = [];
  const visit = async (folder: URL) => {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      const url = new URL(isDirectory ? `${name}/` : name, folder);
      if (isDirectory) await visit(url);
      else {digests.push(
          `${url.pathname} ${await digest(await Deno.readFile(url))}`,
        );}
    }
  };
  for (const folder of ["src/", "packaging/"]) {
    await visit(new URL(folder, root));
  }
  for (const file of ["import_map.json", "deno.json"]) {
    digests.push(await digest(await Deno.readFile(new URL(file, root))));
  }
  return await digest(new TextEncoder().encode(digests.sort().join()));
}

async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return Array.from(
    new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)),
    (b) => b.toString(16),
  ).join("");
}

/**
 * Bundles a file of this repository as an application that has our package installed.
 *
 * @param conditions Export conditions of the host, first to last.
 */
export async function bundleApp(entry: URL, conditions: readonly string[]): Promise<string> {
  const folder = await installedApp();
  const node = await tool("node");
  const esbuild = new URL("node_modules/esbuild-wasm/bin/esbuild", tools).pathname;
  const text = await output([
    ...[
      node!,
      esbuild,
      entry.pathname,
      "--bundle",
      "--minify",
      "--format=esm",
      "--target=es2022",
      "--log-level=error",
    ],
    ...[
      `--conditions=${conditions.join()}`,
      "--external:*.wasm",
      "--external:*.gguf",
      "--external:cloudflare:*",
    ],
  ], {
    cwd: folder,
    env: { NODE_PATH: new URL("node_modules", folder).pathname },
  });
  return text;
}
