/**
 * Links of documents lead somewhere: to a file of the repository, and to a heading in it.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { output } from "../tools/tools.ts";

const root = new URL("../../", import.meta.url);
const documents = (await output(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"], {
  cwd: root,
})).split("\n").filter((path) => path !== "");

/** A heading as a link names it: lower case, words joined by hyphens, without other signs. */
function anchor(heading: string): string {
  return heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "").trim().replaceAll(" ", "-");
}

/** The prose of a document: code blocks hold no links and no headings. */
async function prose(url: URL): Promise<string> {
  return (await Deno.readTextFile(url)).replaceAll(/^```[^]*?^```$/gm, "");
}

/** What is wrong with a link, if anything. */
async function fault(from: URL, link: string): Promise<string | undefined> {
  const url = new URL(link, from);
  const fragment = url.hash.slice(1);
  url.hash = "";
  try {
    if (fragment === "" || !url.pathname.endsWith(".md")) await Deno.stat(url);
    else {
      const headings = [...(await prose(url)).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchor(heading));
      if (!headings.includes(fragment)) return `${link}: no such heading`;
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return `${link}: no such file`;
    throw error;
  }
}

Deno.test("links in documents lead to files and headings", async () => {
  const faults: string[] = [];
  for (const document of documents) {
    const url = new URL(document, root);
    const text = await prose(url).catch((error) => {
      if (error instanceof Deno.errors.NotFound) return "";
      throw error;
    });
    for (const [, link] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link)) continue;
      const said = await fault(url, link);
      if (said !== undefined) faults.push(`${document}: ${said}`);
    }
  }
  assertEquals(faults, []);
});
