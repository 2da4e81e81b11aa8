/**
 * The request field `locket`: what a conversation's memory was planned for when the server was started. It can be named,
 * to be sure of it, and not changed.
 *
 * @module
 */
import { type Budget, readBudget } from "../cache/budget.ts";
import { readPolicy } from "../cache/policies/mod.ts";
import type { ModelPlan } from "../model/plan.ts";
import { ApiError } from "./api_error.ts";
import type { LocketRequest } from "./schemas.ts";

/** @throws {ApiError} 400 that tells what the server was started with, when a request asks for anything else. */
export function checkLoadOptions(plan: ModelPlan, request: LocketRequest | null | undefined): void {
  const { policy, budget, kv_type: kvType } = request ?? {};
  const { policy: planned, budget: plannedBudget } = plan.caches;
  if (policy != null && !isPolicy(policy, planned)) refuse("policy", policy, policyText(planned));
  if (budget != null && (planned === null || !isBudget(budget, plannedBudget))) {
    refuse("budget", budget, planned === null ? "none, as everything is kept" : budgetText(plannedBudget));
  }
  if (kvType != null) {
    const { k, v } = typeof kvType === "string" ? { k: kvType, v: kvType } : kvType;
    if (k !== plan.kvType.k || v !== plan.kvType.v) {
      const { k, v } = plan.kvType;
      refuse("kv_type", kvType, k === v ? k : JSON.stringify({ k, v }));
    }
  }
}

/** The name alone stands for the policy however it is set. */
function isPolicy(text: string, planned: ModelPlan["caches"]["policy"]): boolean {
  const asked = attempt("policy", () => readPolicy(text));
  if ((asked?.name ?? "full") !== (planned?.name ?? "full")) return false;
  return !text.includes(":") || JSON.stringify(asked?.params) === JSON.stringify(planned?.params);
}

function isBudget(budget: number | string, planned: Budget): boolean {
  const { unit, value } = attempt("budget", () => readBudget(budget));
  return unit === planned.unit && value === planned.value;
}

function attempt<T>(field: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new ApiError(400, (error as Error).message, "invalid_value", `locket.${field}`);
  }
}

function policyText(policy: ModelPlan["caches"]["policy"]): string {
  if (policy === null) return "full";
  const params = Object.entries(policy.params).map(([key, value]) => `${key}=${value}`);
  return params.length === 0 ? policy.name : `${policy.name}, or ${policy.name}:${params.join()}`;
}

const budgetText = ({ unit, value }: Budget) => unit === "bytes" ? `${value}B` : String(value);

function refuse(field: string, found: unknown, allowed: string): never {
  const message =
    `locket.${field} is ${JSON.stringify(found)}, but memory is planned when the server is started; ` +
    `this one allows ${allowed}`;
  throw new ApiError(400, message, "fixed_at_load", `locket.${field}`);
}
