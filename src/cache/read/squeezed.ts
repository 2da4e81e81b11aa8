import { OptionError } from "../../error.ts";
import type { ReadEntry, StorageSetting } from "../storage.ts";
import { SqueezedReader } from "./squeezed_reader.ts";
import { laySqueezed } from "./squeezed_space.ts";

/**
 * A fixed prefix in clusters: queries compare themselves with the centroids, and read the clusters that promise more than
 * a threshold, the last tokens of the prefix, and all that follows it. Nothing is dropped. `Sequence.squeeze` makes the
 * clusters; until then everything is read.
 */
export const squeezed: ReadEntry = {
  name: "squeezed",
  summary:
    "Reads those clusters of a fixed prefix that promise most, and all that follows (deno task squeeze)",
  source: "arXiv 2411.09688",
  cost: "share · (4 d + 4) bytes per token of the prefix; a product per cluster and query head",
  params: {
    prefix: {
      default: 0,
      help: "Tokens of the prefix at most; 0: the context",
      least: 0,
      whole: true,
    },
    share: { default: 0.05, help: "Clusters, as a share of the clustered tokens", least: 0.001, most: 1 },
    window: {
      default: 100,
      help: "Last tokens of the prefix, which calibrate and are always read",
      least: 1,
      whole: true,
    },
    rho: {
      default: 0.9,
      help: "Share of the clustered tokens that calibrating leaves below the threshold",
      least: 0,
      most: 1,
    },
    coarse: {
      default: 0,
      help: "Coarse clusters, as a share of the clustered tokens; 0: one level",
      least: 0,
      most: 0.5,
    },
    rhoCoarse: { default: 0.7, help: "As rho, for coarse clusters", least: 0, most: 1 },
    order: {
      default: "wanted",
      help: "How clusters lie: those together that calibrating queries want most, or as they were found",
      oneOf: ["wanted", "found"],
    },
  },
  plan(values, setting) {
    refuse(setting);
    const number = (name: string) => values.number(name);
    const most = number("prefix") === 0 ? setting.context : Math.min(number("prefix"), setting.context);
    const options = {
      window: number("window"),
      share: number("share"),
      rho: number("rho"),
      coarse: number("coarse"),
      rhoCoarse: number("rhoCoarse"),
      sorted: values.text("order") === "wanted",
    };
    if (options.coarse >= options.share) {
      throw new OptionError("squeezed:coarse", options.coarse, `less than share, ${options.share}`);
    }
    if (most <= options.window) {
      throw new OptionError("squeezed:window", options.window, `less than the ${most} tokens of the prefix`);
    }
    return {
      name: "squeezed",
      params: values.all,
      lay: (layers, kv) => laySqueezed(layers, kv, most - options.window, options.share, options.coarse),
      open: (rules, storage) => new SqueezedReader(rules, storage, options),
    };
  },
};

function refuse({ policy, hparams }: StorageSetting): void {
  if (policy !== null) throw new OptionError("read", `squeezed under ${policy.name}`, "the policy full");
  if (hparams.attentionSoftcap > 0 || hparams.positions === "alibi") {
    throw new OptionError(
      "read",
      "squeezed",
      "a model whose logits are products alone: no ALiBi, no soft cap",
    );
  }
}
