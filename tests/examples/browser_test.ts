/**
 * The example page in headless Chromium: by mouse-less use, as a keyboard or a screen reader has it.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Page } from "playwright-core";
import { openPage } from "../tools/browser.ts";
import { chromium } from "../tools/tools.ts";
import { browserExample } from "./browser_files.ts";

const ignore = await chromium() === undefined;
/** Where screenshots go; nowhere when it is not set. */
const screenshots = Deno.env.get("SCREENSHOTS");

async function shot(page: Page, name: string): Promise<void> {
  if (screenshots === undefined) return;
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    for (const [width, height] of [[1280, 800], [390, 844]]) {
      await page.setViewportSize({ width, height });
      await page.screenshot({ path: `${screenshots}/${name}-${width}-${colorScheme}.png`, fullPage: true });
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1280, height: 800 });
}

/** What axe finds wrong for those who see, hear or move otherwise, contrast included. */
async function accessibilityFaults(page: Page): Promise<string[]> {
  const axe = new URL("../tools/node_modules/axe-core/axe.min.js", import.meta.url);
  await page.addScriptTag({ content: await Deno.readTextFile(axe) });
  return await page.evaluate(
    `axe.run().then(({ violations }) => violations.flatMap(({ id, nodes }) =>
      nodes.map(({ target, failureSummary }) => id + " at " + target + ": " + failureSummary)))`,
  );
}

const says = (id: string, text: string) => `document.getElementById("${id}").textContent.includes("${text}")`;

Deno.test({ name: "examples/browser loads, writes, stops, all by keyboard", ignore }, async () => {
  await using opened = await openPage(await browserExample());
  const { page, errors } = opened;
  const status = page.getByRole("status");
  const log = page.getByRole("log");
  const input = page.getByRole("textbox", { name: "Your text" });

  await page.waitForFunction(says("status", "Ready"));
  const bar = page.getByRole("img", { name: "Memory" });
  assertMatch(
    (await bar.getAttribute("aria-label"))!,
    /^Memory: [\d.]+ MB, fixed from now on: weights [\d.]+ MB/,
  );
  await shot(page, "ready");

  // the text field has the focus
  await page.keyboard.press("Control+A");
  await page.keyboard.type("She opened the door and");
  await page.keyboard.press("Enter");
  await page.waitForFunction(says("status", "tokens, "));
  assertMatch(await status.innerText(), /^\d+ tokens, (done|stopped); the prompt took \d+ ms$/);
  assertMatch(await page.locator("#speed").innerText(), /^[\d,]+$/);
  const [said, reply] = await log.locator("p").allInnerTexts();
  assertEquals(said, "She opened the door and");
  assert(reply.length > 20, reply);
  assertEquals(await log.getAttribute("aria-busy"), "false");

  await input.fill("Then");
  await page.keyboard.press("Tab");
  assertEquals(await page.evaluate("document.activeElement.textContent"), "Send");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Stop" }).press("Enter");
  await page.waitForFunction(says("status", "tokens, "));
  assertEquals(await log.locator("p").count(), 4);

  const unlabelled = `[...document.querySelectorAll("button, textarea, progress, select")]
    .filter((element) => !element.labels?.length && !element.textContent.trim()).length`;
  assertEquals(await page.evaluate(unlabelled), 0);
  for (const width of [320, 390, 900, 1280]) {
    await page.setViewportSize({ width, height: 800 });
    assertEquals(await page.evaluate("document.documentElement.scrollWidth"), width);
  }
  assertEquals(errors, []);
});

Deno.test(
  { name: "examples/browser shows which tokens a policy keeps, and says it in words", ignore },
  async () => {
    await using opened = await openPage(await browserExample());
    const { page, errors } = opened;
    const tokens = page.getByRole("listbox", { name: "What the cache keeps" });
    const evicted = () => tokens.locator(".evicted").count();
    const summary = page.locator("#summary");

    await page.waitForFunction(says("status", "Ready"));
    await page.getByRole("button", { name: "Send" }).click();
    await page.waitForFunction(says("status", "tokens, "));
    const [said, reply] = await page.getByRole("log").locator("p").allTextContents();
    const letters = (text: string) => text.replaceAll(/\s/g, "");
    const text = async () => letters((await tokens.getByRole("option").allTextContents()).join(""));
    const wanted = letters(said + reply);
    assertEquals(await text(), wanted);
    const nTokens = await tokens.getByRole("option").count();
    assertMatch(
      await summary.innerText(),
      /^\d+ of \d+ tokens are kept by at least one head, \d+ by each in the mean; \d+ are evicted\.$/,
    );
    await shot(page, "reply");

    // of one head: as many as the budget of the prompt has slots, and one more in which the last token was read
    await page.getByLabel("Layer").selectOption("1");
    await page.getByLabel("Key-value head").selectOption("0");
    await page.waitForFunction(
      `${says("summary", "evicted")} && document.querySelectorAll("#tokens .evicted").length > 100`,
    );
    const [, held, read, gone] = /^(\d+) of (\d+) tokens are kept; (\d+)/.exec(await summary.innerText())!
      .map(Number);
    assertEquals([held + gone, await evicted()], [read, gone]);
    assert(read === nTokens || read === nTokens - 1, `${read} of ${nTokens} tokens were read`);
    await shot(page, "head");

    await tokens.focus();
    await page.keyboard.press("End");
    await page.keyboard.press("Home");
    await page.keyboard.press("ArrowRight");
    const active = (await tokens.getAttribute("aria-activedescendant"))!;
    assertEquals(active, "token-1");
    const words = (await page.locator(`#${active}`).getAttribute("aria-label"))!;
    assertMatch(words, /^“\S+”, position 1, (evicted|kept by 100 % of heads, score [\d.]+)$/);
    assertEquals(await page.locator("#token").innerText(), words);
    await page.getByText("The key tokens as a table").click();
    assertEquals(await page.locator("#table tr").count(), 12);
    await shot(page, "table");
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      assertEquals(await accessibilityFaults(page), []);
    }

    // another policy: the conversation is read again, out of this device's store
    await page.route("**/model.gguf", (route) => route.abort());
    await page.getByLabel("What stays").selectOption("streaming_llm");
    await page.getByLabel("Budget").selectOption("48");
    await page.getByRole("button", { name: "Apply" }).press("Enter");
    await page.waitForFunction(says("origin", "this device's own store"));
    await page.waitForFunction(says("summary", "48 of "));
    assertEquals(await text(), wanted);
    await page.getByLabel("What stays").selectOption("full");
    await page.getByRole("button", { name: "Apply" }).press("Enter");
    await page.waitForFunction(says("summary", "All "));
    assertEquals(await evicted(), 0);
    await page.getByRole("button", { name: "Remove it from this device" }).press("Enter");
    await page.waitForFunction(says("origin", "no longer on this device"));
    assertEquals(errors, []);
  },
);
