/**
 * The calibration of the model that a command runs on: of the file that is named, or of the one beside the model.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import type { Arguments } from "./args.ts";
import { filePath, readBytes } from "./host.ts";
import { modelInput } from "./model_input.ts";

/** Where `deno task calibrate` puts what it learns about a model, beside it. */
export function calibrationPath(model: string | undefined, channels: number): string {
  const input = modelInput(model);
  return `${typeof input === "string" ? input : filePath(input)}.cq${channels}`;
}

/**
 * Bytes of the file that `--calibration` names, or, for the storage `cq`, of the one beside the model if there is one.
 *
 * @param model Path or URL of the model; none: the bundled one.
 * @throws {OptionError} When the file that is named can't be read.
 */
export async function readCalibrationFile(
  args: Arguments,
  model: string | undefined,
): Promise<Uint8Array | undefined> {
  const path = args.string("calibration");
  if (path !== undefined) {
    const bytes = await readBytes(path);
    if (bytes === undefined) throw new OptionError("calibration", path, "a file that can be read");
    return bytes;
  }
  const [name, params = ""] = (args.string("storage") ?? "").split(/:(.*)/s);
  if (name.trim() !== "cq") return undefined;
  return await readBytes(calibrationPath(model, Number(/channels=(\d+)/.exec(params)?.[1] ?? 4)));
}
