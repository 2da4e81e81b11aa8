import { OptionError } from "../../error.ts";
import { SLOT_GROUP } from "../../kernels/sizes.ts";
import type { StorageEntry } from "../storage.ts";
import { CODEC_KIND, EXACT, planCodec } from "./codec.ts";

/**
 * Keys in few bits per channel, over groups of tokens; values per token, over groups of channels. A key is coded once
 * `recent` of them wait, a value when it leaves the `recent` latest.
 */
export const kivi: StorageEntry = {
  name: "kivi",
  summary: "Keys in 2 or 4 bits per channel over groups of tokens, values per token over groups of channels",
  source: "arXiv 2402.02750",
  cost: "d · bits / 8 bytes and, for every group of keys or values, two floats; recent tokens exact",
  params: {
    bits: { default: "4", help: "Bits of a key's or value's number", oneOf: ["2", "4"] },
    group: {
      default: "32",
      help: "Tokens whose keys share a step, channel by channel",
      oneOf: ["8", "16", "32"],
    },
    channels: {
      default: 32,
      help: "Channels of a value that share a step",
      least: 8,
      most: 256,
      whole: true,
    },
    recent: {
      default: 32,
      help: "Latest tokens that stay exact, a multiple of the group",
      least: 8,
      most: 4096,
      whole: true,
    },
    exact: EXACT,
  },
  plan(values, { hparams, policy, prefill, chunk }) {
    const bits = Number(values.text("bits"));
    const group = Number(values.text("group"));
    const [channels, recent] = [values.number("channels"), values.number("recent")];
    if (recent % group !== 0) throw new OptionError("kivi:recent", recent, `a multiple of ${group} tokens`);
    if (channels % 8 !== 0) throw new OptionError("kivi:channels", channels, "a multiple of 8");
    if (policy !== null && (policy.steps || prefill !== "whole")) {
      throw new OptionError(
        "storage",
        `kivi under ${policy.name}${policy.steps ? "" : ", streamed"}`,
        "a policy that drops tokens only once, after the prompt (--prefill whole): keys are coded in groups",
      );
    }
    const halves = values.text("exact") === "f16";
    const paramWords = halves ? 1 : 2;
    const { headDim, valueDim } = hparams;
    return planCodec("kivi", values.all, hparams, {
      kind: CODEC_KIND.kivi,
      recent,
      chunk,
      halves,
      params: [bits, bits, group, channels],
      keyWords: headDim * (bits + SLOT_GROUP / group * paramWords),
      valueWords: SLOT_GROUP *
        (Math.ceil(valueDim * bits / 32) + Math.ceil(valueDim / channels) * paramWords),
    });
  },
};
