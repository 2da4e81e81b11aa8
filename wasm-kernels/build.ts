/**
 * Builds the kernel binaries from `wasm-kernels/` and puts them, with their bindings, into `src/kernels/wasm/`.
 *
 *   deno task build            build and install
 *   deno task build --check    build, compare with what is installed, exit 1 on a difference
 *
 * Needs `wasm-pack`, `wasm-bindgen` and a Rust toolchain with the target `wasm32-unknown-unknown`
 * (`RUSTUP_TOOLCHAIN` names another one than the default). Nothing here is needed to use Locket.
 */
import { parseArgs } from "@std/cli/parse-args";
import binaryen from "binaryen";
import { gzipSync } from "node:zlib";
import { abiVersion, declarations, VERSION_FILE, versionModule } from "./abi.ts";
import { inOrder } from "./order.ts";
import { commandLine } from "../bench/usage.ts";

const here = new URL(".", import.meta.url);
const installed = new URL("../src/kernels/wasm/", here);

/**
 * The binaries: `simd128` is deterministic on every machine, `relaxed` uses the relaxed SIMD instructions; `calibrate` is the
 * first with what calibration takes beside it.
 */
const VARIANTS = {
  simd128: { instructions: ["simd128"], features: [], bindings: undefined },
  relaxed: { instructions: ["simd128", "relaxed-simd"], features: [], bindings: "kernels.d.ts" },
  calibrate: { instructions: ["simd128"], features: ["calibrate"], bindings: "calibrate.d.ts" },
} as const;
type Variant = keyof typeof VARIANTS;

async function run(command: string, args: string[], env: Record<string, string>): Promise<void> {
  const { success, code } = await new Deno.Command(command, { args, env, cwd: here }).spawn().status;
  if (!success) throw new Error(`${command} ${args[0]} ended with exit code ${code}`);
}

/** Compiles one variant; returns its bytes, not yet optimised, and the declarations of its exports. */
async function compile(variant: Variant): Promise<{ wasm: Uint8Array; bindings: string }> {
  const out = `pkg-${variant}`;
  const cargoHome = Deno.env.get("CARGO_HOME") ?? `${Deno.env.get("HOME")}/.cargo`;
  const { instructions, features } = VARIANTS[variant];
  const enabled = [
    "bulk-memory",
    "nontrapping-fptoint",
    "sign-ext",
    "mutable-globals",
    ...instructions,
  ];
  const args = ["build", "--target", "web", "--release", "--no-pack", "--out-dir", out];
  await run("wasm-pack", [...args, "--", "--features", features.join()], {
    // Paths of this machine must not end up in the binary, or no two machines build the same bytes.
    RUSTFLAGS: [
      // What no export reaches: only here is it known, since tests alone may need a function elsewhere.
      "-D unused",
      // Loops that are worth it are written with vectors; for all others LLVM's own are a tenth more code.
      "-C no-vectorize-loops",
      // Copies of loops that are not worth their code: several rounds of one where their number is not known, and one
      // for each outcome of a condition inside. What matters is unrolled by arrays of a known length.
      "-C llvm-args=-unroll-runtime=false",
      "-C llvm-args=-unswitch-threshold=0",
      // Functions of some size are there once; what inner loops need is inlined always.
      "-C llvm-args=-inline-threshold=60",
      // Instructions stay in the order they are written in, which the kernels have chosen: where LLVM gathers those of one
      // sum, more vectors are alive at once than there are registers.
      "-C llvm-args=-pre-RA-sched=source",
      // Where a panic came from, which nobody sees: a panic is a trap.
      "-Z location-detail=none",
      `-C target-feature=${enabled.map((name) => `+${name}`).join()},-reference-types`,
      // The standard library's objects claim reference types as well, and wasm-bindgen would believe them and add
      // a table with imports; no export has a reference in its signature.
      `-C link-arg=--features=${enabled.join()}`,
      "-C link-arg=--no-check-features",
      "-C link-arg=-zstack-size=106496",
      `--remap-path-prefix=${new URL(".", here).pathname}=/locket/`,
      `--remap-path-prefix=${cargoHome}=/cargo`,
    ].join(" "),
    CARGO_TARGET_DIR: `target/${variant}`,
    // The `-Z` option is one that a stable compiler takes only so.
    RUSTC_BOOTSTRAP: "1",
  });
  const wasm = await Deno.readFile(new URL(`${out}/locket_kernels_bg.wasm`, here));
  return {
    wasm,
    bindings: declarations(await Deno.readTextFile(new URL(`${out}/locket_kernels.d.ts`, here))),
  };
}

/** What Rust's library calls where a check fails, to say so before the trap. */
const FAILURES = /^core\[\w+\]::(panicking::.*|.*_fail(ed)?)$/;

/** A failed check is a trap at once; so the optimiser drops all that is computed for its message. */
function trapAtOnce(module: binaryen.Module, names: readonly string[]): void {
  for (const name of names.filter((name) => FAILURES.test(name))) {
    const { params, results } = binaryen.getFunctionInfo(module.getFunction(name));
    module.removeFunction(name);
    module.addFunction(name, params, results, [], module.unreachable());
  }
}

/** The bytes to install: small, quick, and with the `version` of the exports among them. */
function optimise(wasm: Uint8Array, version: number): Uint8Array {
  const module = binaryen.readBinary(wasm);
  module.setFeatures(
    binaryen.Features.SIMD128 | binaryen.Features.RelaxedSIMD | binaryen.Features.BulkMemory |
      binaryen.Features.MutableGlobals | binaryen.Features.SignExt | binaryen.Features.NontrappingFPToInt |
      binaryen.Features.BulkMemoryOpt | binaryen.Features.Multivalue,
  );
  const names = Array.from(
    { length: module.getNumFunctions() },
    (_, i) => binaryen.getFunctionInfo(module.getFunctionByIndex(i)).name,
  );
  trapAtOnce(module, names);
  binaryen.setOptimizeLevel(2);
  binaryen.setShrinkLevel(0);
  // A function that one other calls stays apart if the kernel says so: in one too large, V8 keeps no sums in registers.
  binaryen.setOneCallerInlineMaxSize(20);
  // A constant vector written out at each use is built anew there; in a local it stays in a register.
  binaryen.addPassToSkip("precompute-propagate");
  module.optimize();
  binaryen.clearPassesToSkip();
  // What level 3 does more is code, and no speed but here: V8 keeps more of these loops in registers.
  binaryen.setOptimizeLevel(3);
  for (const name of names.filter((name) => /matvec::dot|matmul::tokens/.test(name))) {
    module.optimizeFunction(name);
  }
  module.addFunction("abi_version", binaryen.none, binaryen.i32, [], module.i32.const(version));
  module.addFunctionExport("abi_version", "abi_version");
  module.runPasses(["strip-producers", "strip-target-features"]);
  try {
    return inOrder(module);
  } finally {
    module.dispose();
  }
}

async function differs(file: URL, wanted: Uint8Array): Promise<boolean> {
  const found = await Deno.readFile(file).catch(() => undefined);
  return found === undefined || found.length !== wanted.length || found.some((b, i) => b !== wanted[i]);
}

if (import.meta.main) {
  const { unknown } = commandLine(import.meta.url);
  const { check } = parseArgs(Deno.args, { boolean: ["check"], unknown });
  await Deno.mkdir(installed, { recursive: true });
  const compiled = new Map<Variant, Awaited<ReturnType<typeof compile>>>();
  for (const variant of Object.keys(VARIANTS) as Variant[]) compiled.set(variant, await compile(variant));
  const encoder = new TextEncoder();
  const version = await abiVersion(compiled.get("relaxed")!.bindings);
  const files: [string, Uint8Array][] = [[VERSION_FILE, encoder.encode(versionModule(version))]];
  for (const [variant, { wasm: unoptimised, bindings }] of compiled) {
    const wasm = optimise(unoptimised, version);
    files.push([`${variant}.wasm`, wasm]);
    const { bindings: name } = VARIANTS[variant];
    if (name !== undefined) files.push([name, encoder.encode(bindings)]);
    console.log(`${variant}.wasm: ${wasm.length} bytes, ${gzipSync(wasm, { level: 9 }).length} compressed`);
  }
  let stale = 0;
  for (const [name, bytes] of files) {
    const file = new URL(name, installed);
    if (!check) await Deno.writeFile(file, bytes);
    else if (await differs(file, bytes)) {
      console.error(`src/kernels/wasm/${name} was not built from the sources at hand: run deno task build`);
      stale++;
    }
  }
  if (stale > 0) Deno.exit(1);
}
