import { assertEquals, assertNotEquals } from "@std/assert";
import fc from "fast-check";
import { GgmlType, type TensorInfo, type TensorSink } from "../../src/gguf/mod.ts";
import { WeightSamples } from "../../src/model/weight_samples.ts";

const nowhere: TensorSink = { write: () => {}, done: () => {} };

function tensor(name: string, bytes: number): TensorInfo {
  return { name, type: GgmlType.F32, shape: [bytes / 4], offset: 0, bytes, file: 0 } as TensorInfo;
}

/** The digest of tensors whose bytes come in pieces that end at these shares of a tensor. */
function digest(tensors: readonly [TensorInfo, Uint8Array][], cuts: readonly number[]): string {
  const samples = new WeightSamples(nowhere);
  for (const [info, bytes] of tensors) {
    const ends = [...cuts.map((share) => Math.floor(share * bytes.length)), bytes.length].sort((a, b) =>
      a - b
    );
    let start = 0;
    for (const end of ends) {
      if (end > start) samples.write(info, start, bytes.subarray(start, end));
      start = end;
    }
    samples.done(info);
  }
  return samples.digest();
}

Deno.test("samples of weights do not depend on pieces or on the order of tensors", () => {
  const tensors = fc.array(fc.uint8Array({ minLength: 4, maxLength: 900 }), { minLength: 1, maxLength: 4 });
  const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });
  fc.assert(fc.property(tensors, cuts, (all, cuts) => {
    const named = all.map((bytes, i): [TensorInfo, Uint8Array] => [tensor(`t${i}`, bytes.length), bytes]);
    const whole = digest(named, []);
    assertEquals(digest(named, cuts), whole);
    assertEquals(digest(named.toReversed(), cuts), whole);
  }));
});

Deno.test("every byte of a small tensor counts, as do the ends of a large one", () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 32 }), fc.nat(), (bytes, at) => {
    const other = bytes.slice();
    other[at % bytes.length] ^= 1;
    const info = tensor("t", bytes.length);
    assertNotEquals(digest([[info, bytes]], []), digest([[info, other]], []));
  }));
  const large = new Uint8Array(1 << 20);
  const info = tensor("t", large.length);
  for (const at of [0, large.length - 1]) {
    const other = large.slice();
    other[at] = 1;
    assertNotEquals(digest([[info, large]], []), digest([[info, other]], []));
  }
});
