/**
 * The example page in headless Chromium: by mouse-less use, as a keyboard or a screen reader has it.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { openPage } from "../tools/browser.ts";
import { chromium } from "../tools/tools.ts";
import { browserExample } from "./browser_files.ts";

const ignore = await chromium() === undefined;
/** Where screenshots go; nowhere when it is not set. */
const screenshots = Deno.env.get("SCREENSHOTS");

Deno.test({ name: "examples/browser loads, writes, stops, all by keyboard", ignore }, async () => {
  await using opened = await openPage(await browserExample());
  const { page, errors } = opened;
  const shot = async (name: string) => {
    if (screenshots !== undefined) {
      await page.screenshot({ path: `${screenshots}/${name}.png`, fullPage: true });
    }
  };
  const status = page.getByRole("status");
  const log = page.getByRole("log");
  const input = page.getByRole("textbox", { name: "Your text" });

  await page.waitForFunction("document.getElementById('status').textContent === 'Ready'");
  assertMatch((await page.getByRole("img").getAttribute("aria-label"))!, /^Memory: [\d.]+ MB in \d+ regions/);
  const regions = await page.getByRole("listitem").allInnerTexts();
  assert(regions.some((text) => text.startsWith("weights")), regions.join());
  assertEquals(await page.getByRole("progressbar", { name: "Loading the model" }).getAttribute("value"), "1");
  await shot("ready");

  // the text field has the focus
  await page.keyboard.press("Control+A");
  await page.keyboard.type("She opened the door and");
  await page.keyboard.press("Enter");
  await page.waitForFunction("document.getElementById('status').textContent.includes('tokens,')");
  assertMatch(await status.innerText(), /^\d+ tokens, (done|stopped); [\d,]+ tokens a second/);
  const [said, reply] = await log.locator("p").allInnerTexts();
  assertEquals(said, "She opened the door and");
  assert(reply.length > 20, reply);
  assertEquals(await log.getAttribute("aria-busy"), "false");
  await shot("reply");

  await input.fill("Then");
  await page.keyboard.press("Tab");
  assertEquals(await page.evaluate("document.activeElement.textContent"), "Send");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Stop" }).press("Enter");
  await page.waitForFunction("document.getElementById('status').textContent.includes('tokens,')");
  assertEquals(await log.locator("p").count(), 4);

  const unlabelled = `[...document.querySelectorAll("button, textarea, progress")]
    .filter((element) => !element.labels?.length && !element.textContent.trim()).length`;
  assertEquals(await page.evaluate(unlabelled), 0);
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 390, height: 800 });
  assertEquals(await page.evaluate("document.documentElement.scrollWidth"), 390);
  await page.waitForFunction("document.activeElement.id === 'prompt'");
  await shot("narrow-dark");
  assertEquals(errors, []);
});
