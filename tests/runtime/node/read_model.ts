/**
 * Reads a model in Node, by path and by URL, and prints what it found: run by `node_test.ts` as a bundle.
 *
 * @module
 */
import process from "node:process";
import { openModel } from "../../../src/gguf/mod.ts";
import { openSource } from "../../../src/runtime/open_source.ts";

const [path] = process.argv.slice(2);
for (const input of [path, new URL(`file://${path}`), `${path}.missing`]) {
  try {
    const opened = await openModel(openSource(input));
    let sum = 0;
    await opened.streamTensors({
      write: (_tensor, _offset, bytes) => bytes.forEach((byte) => sum += byte),
      done: (tensor) => console.log(`${tensor.name} ${tensor.bytes} ${sum}`),
    });
  } catch (error) {
    console.log((error as Error).name);
  }
}
