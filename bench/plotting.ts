/** Plots as SVG, and tables as markdown. */
import { compile, type TopLevelSpec } from "vega-lite";
import { parse, View } from "vega";

/** Draws one plot into `FOLDER/NAME.svg`; its size and white ground are the same for all unless it says otherwise. */
export async function draw(folder: string, name: string, spec: TopLevelSpec): Promise<void> {
  const whole = { width: 560, height: 300, background: "white", ...spec } as TopLevelSpec;
  const view = new View(parse(compile(whole).spec), { renderer: "none" });
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(`${folder}/${name}.svg`, await view.toSVG() + "\n");
  console.error(`${folder}/${name}.svg`);
}

/** A table in markdown. */
export function table(head: readonly string[], body: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...body.map(line)].join("\n") + "\n";
}
