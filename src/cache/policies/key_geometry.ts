import type { Geometry } from "../../kernels/stored_kernels.ts";
import { slotsOf } from "../policy.ts";
import { leastBudget, type PolicyEntry, recentParam, SINKS } from "./params.ts";

/** A policy that looks at keys alone and never at a query: sinks, latest tokens, and the best by a measure of their keys. */
export function keyGeometry(
  about: Pick<PolicyEntry, "name" | "summary" | "source" | "cost">,
  measure: Geometry,
): PolicyEntry {
  return {
    ...about,
    params: { recent: recentParam(0), sinks: SINKS },
    create: (values) => {
      const [recent, sinks] = ["recent", "sinks"].map((name) => values.number(name));
      return {
        name: about.name,
        params: values.all,
        minBudget: leastBudget(sinks, recent),
        scores: "none",
        promptRows: "none",
        steps: true,
        ranks: "order",
        readsStored: true,
        reduce(layer) {
          const { budget } = layer;
          layer.measure(measure);
          layer.keep({ budget, sinks, recent: slotsOf(recent, budget), by: "scratch" });
        },
      };
    },
  };
}
