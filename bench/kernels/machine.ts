/**
 * What this machine reaches at most in one thread of WebAssembly, as the measure for the kernels: plain reading and
 * byte dot products out of registers. Two loops in WebAssembly text, assembled by binaryen.
 *
 * @module
 */
import binaryen from "binaryen";

const REGISTERS = 12;
const CHUNK = 64;

/** Streams read side by side: the hardware fetches ahead of each, and one alone does not fill the path to memory. */
const STREAMS = 4;

/** Exclusive-ors `bytes` bytes from address 0 on, in four quarters side by side. */
function readText(): string {
  const at = (stream: number) =>
    `(i32.add (local.get $at) (i32.mul (local.get $quarter) (i32.const ${stream})))`;
  const sets = Array.from({ length: STREAMS * CHUNK / 16 }, (_, i) => {
    const [a, stream] = [`$a${i % 4}`, Math.floor(16 * i / CHUNK)];
    return `(local.set ${a} (v128.xor (local.get ${a}) (v128.load offset=${16 * i % CHUNK} ${at(stream)})))`;
  });
  return `(func (export "read") (param $bytes i32) (result v128)
    (local $at i32) (local $quarter i32) (local $a0 v128) (local $a1 v128) (local $a2 v128) (local $a3 v128)
    (local.set $quarter (i32.div_u (local.get $bytes) (i32.const ${STREAMS})))
    (loop $again ${sets.join("\n")}
      (local.set $at (i32.add (local.get $at) (i32.const ${CHUNK})))
      (br_if $again (i32.lt_u (local.get $at) (local.get $quarter))))
    (v128.xor (v128.xor (local.get $a0) (local.get $a1)) (v128.xor (local.get $a2) (local.get $a3))))`;
}

/** Writes `bytes` bytes from address 0 on. */
const WRITE = `(func (export "write") (param $bytes i32) (result v128)
  (memory.fill (i32.const 0) (i32.const 1) (local.get $bytes)) (v128.const i64x2 0 0))`;

/** `rounds` rounds of `instruction` into each of twelve running vectors. */
function dotText(instruction: (acc: string) => string): string {
  const names = Array.from({ length: REGISTERS }, (_, i) => `$d${i}`);
  return `(func (export "dots") (param $rounds i32) (result v128)
    (local $x v128) (local $w v128) ${names.map((d) => `(local ${d} v128)`).join(" ")}
    (local.set $x (v128.load (i32.const 0))) (local.set $w (v128.load (i32.const 16)))
    (loop $again ${names.map((d) => `(local.set ${d} ${instruction(`(local.get ${d})`)})`).join("\n")}
      (br_if $again (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
    ${names.slice(1).reduce((sum, d) => `(i32x4.add ${sum} (local.get ${d}))`, `(local.get ${names[0]})`)})`;
}

const DOT = {
  relaxed: (acc: string) => `(i32x4.relaxed_dot_i8x16_i7x16_add_s (local.get $x) (local.get $w) ${acc})`,
  // Sixteen products of bytes take two of these.
  simd128: (acc: string) => `(i32x4.add ${acc} (i32x4.dot_i16x8_s (local.get $x) (local.get $w)))`,
};

function assemble(pages: number, functions: string[]): Record<string, (n: number) => unknown> {
  // Vectors can't cross into JavaScript; each function is wrapped to give one lane.
  const wrapped = functions.map((text, i) => text.replace(/\(export "(\w+)"\)/, `$f${i}`));
  const exports = functions.map((text, i) => {
    const name = text.match(/export "(\w+)"/)![1];
    return `(func (export "${name}") (param i32) (result i32) (i32x4.extract_lane 0 (call $f${i} (local.get 0))))`;
  });
  const module = binaryen.parseText(`(module (memory ${pages}) ${wrapped.join("\n")} ${exports.join("\n")})`);
  module.setFeatures(binaryen.Features.All);
  const bytes = module.emitBinary();
  module.dispose();
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes as BufferSource));
  return instance.exports as Record<string, (n: number) => unknown>;
}

/** Shortest of `repeats` runs of `task`, in milliseconds, once V8's optimising compiler has had time to finish. */
export function shortest(repeats: number, task: () => unknown): number {
  for (const warm = performance.now() + 400; performance.now() < warm;) task();
  let best = Infinity;
  for (let i = 0; i < repeats; i++) {
    const start = performance.now();
    task();
    best = Math.min(best, performance.now() - start);
  }
  return best;
}

export interface Machine {
  /** Bytes read per nanosecond out of 64 MB. */
  readGBs: number;
  /** 8-bit multiply-adds per nanosecond out of registers. */
  dotGMACs: number;
}

/** Measures the machine for one of the two binaries. */
export function measureMachine(binary: "relaxed" | "simd128", bytes = 64 << 20): Machine {
  const { read, dots, write } = assemble(bytes >> 16, [readText(), dotText(DOT[binary]), WRITE]);
  // Memory that was never written is one page of zeros, which would be read from the first cache.
  write(bytes);
  const rounds = 4_000_000;
  const products = rounds * REGISTERS * (binary === "relaxed" ? 16 : 8);
  for (let i = 0; i < 3; i++) dots(100_000);
  return {
    readGBs: bytes / shortest(8, () => read(bytes)) / 1e6,
    dotGMACs: products / shortest(8, () => dots(rounds)) / 1e6,
  };
}
