/**
 * A memory plan as one coloured bar with its legend.
 *
 * @module
 */
import { blue, cyan, gray, green, magenta, yellow } from "@std/fmt/colors";
import type { RegionBytes } from "../error.ts";
import { formatBytes } from "./units.ts";

/** Regions below this share of the whole are drawn as one. */
const LEAST_SHARE = 0.02;

/** One for each part, told apart without colour too. */
const STYLES = [[green, "█"], [cyan, "▓"], [magenta, "▒"], [yellow, "▞"], [blue, "▚"], [gray, "░"]] as const;

/**
 * Two lines of text: the bar, and what each part of it is.
 *
 * @param width Characters of the bar.
 */
export function memoryBar(regions: readonly RegionBytes[], width: number): [bar: string, legend: string] {
  const total = regions.reduce((sum, { bytes }) => sum + bytes, 0);
  const large = regions.filter(({ bytes }) => bytes >= LEAST_SHARE * total)
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, STYLES.length - 1);
  const rest = total - large.reduce((sum, { bytes }) => sum + bytes, 0);
  const parts = [...large, { name: "the rest", bytes: rest }];
  const style = (i: number) => STYLES[i === parts.length - 1 ? STYLES.length - 1 : i];
  let bytes = 0;
  let drawn = 0;
  let bar = "";
  const legend = parts.map((part, i) => {
    const [paint, block] = style(i);
    bytes += part.bytes;
    const end = Math.round(bytes / total * width);
    bar += paint(block.repeat(end - drawn));
    drawn = end;
    return `${paint(block)} ${part.name} ${formatBytes(part.bytes)}`;
  });
  return [bar, legend.join("  ")];
}
