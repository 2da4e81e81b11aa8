/**
 * What tests start: other runtimes, a browser, and an application that has installed our package from its tarball. All of
 * it lies in `tests/tools/node_modules` and `dist/`, out of the project's own imports.
 *
 * @module
 */
const root = new URL("../../", import.meta.url);
const tools = new URL("./", import.meta.url);
const app = new URL("dist/app/", root);

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
  const wanted = JSON.stringify(
    JSON.parse(await Deno.readTextFile(new URL("package.json", tools)))
      .dependencies,
  );
  const stamp = new URL("node_modules/.installed", tools);
  if (await Deno.readTextFile(stamp).catch(() => "") !== wanted) {
    const { success, stderr } = await run([
      "npm",
      "install",
      "--no-package-lock",
      "--no-audit",
      "--no-fund",
    ], { cwd: tools });
    if (!success) {
      console.warn(`SKIPPED: the test tools can't be installed: ${stderr.split("\n", 1)[0]}`);
      return undefined;
    }
    await Deno.writeTextFile(stamp, wanted);
  }
  const path = new URL(`node_modules/.bin/${name}`, tools).pathname;
  if ((await run([path, "--version"])).success) return path;
  console.warn(`SKIPPED: ${name} does not run on this machine`);
}

/** The browser of this machine; `undefined`, said aloud, where there is none. */
export async function chromium(): Promise<string | undefined> {
  for (const path of ["chromium", "chromium-browser", "google-chrome"]) {
    const { success, stdout } = await run(["which", path]);
    if (success) return stdout.trim();
  }
  console.warn("SKIPPED: no Chromium on this machine");
}

/** A folder whose `node_modules` holds our package as `npm install` puts it there, made anew when a source has changed. */
export async function installedApp(): Promise<URL> {
  const hash = await sourceHash();
  const stamp = new URL("stamp", app);
  if (await Deno.readTextFile(stamp).catch(() => "") === hash) return app;
  await output([Deno.execPath(), "run", "-A", "packaging/npm.ts"], {
    cwd: root,
  });
  await Deno.remove(app, { recursive: true }).catch(() => {});
  await Deno.mkdir(app, { recursive: true });
  const tarball = (await output(["npm", "pack", "--silent", "--pack-destination", app.pathname], {
    cwd: new URL("dist/npm/", root),
  })).trim();
  await Deno.writeTextFile(new URL("package.json", app), JSON.stringify({ private: true, type: "module" }));
  await output([
    "npm",
    "install",
    "--no-audit",
    "--no-fund",
    "--no-package-lock",
    `./${tarball}`,
  ], { cwd: app });
  await Deno.writeTextFile(stamp, hash);
  return app;
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
    ...[node!, esbuild, entry.pathname, "--bundle", "--format=esm", "--target=es2022", "--log-level=error"],
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

export { exists };
