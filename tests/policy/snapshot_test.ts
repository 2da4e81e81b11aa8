import { checkGoingOn } from "../snapshot/going_on.ts";
import { CONTRACTS, nameOf } from "./contracts.ts";

for (const contract of CONTRACTS) {
  const { policy, options, saved } = contract;
  if (saved === null) continue;
  const budget = policy === "full" ? {} : { budget: 64 };
  Deno.test(`${nameOf(contract)}: restored, a sequence goes on as if it had never stopped`, () =>
    checkGoingOn({ policy, ...budget, ...options, ...saved }));
}

Deno.test("elastic with a growing share: restored, a sequence goes on as if it had never stopped", () =>
  checkGoingOn({ policy: "elastic", budget: 0.4 }));
