/** The memory plan as a bar, and in words. */
const find = (id) => document.getElementById(id);
const [bar, list] = ["bar", "regions"].map(find);

/** Regions that are shown by themselves. */
const N_PARTS = 4;

/** What regions are called here. */
const NAMES = { kv: "keys and values", activations: "work space", reserved: "engine" };

export const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 1)} MB`;

/** Shows the regions of a plan: the largest, and all others as one. */
export function showMemory({ regions, memoryBytes }) {
  const sorted = regions.toSorted((a, b) => b.bytes - a.bytes);
  const parts = sorted.slice(0, N_PARTS).map(({ name, bytes }) => ({ name: NAMES[name] ?? name, bytes }));
  const rest = memoryBytes - parts.reduce((sum, { bytes }) => sum + bytes, 0);
  parts.push({ name: "all others", bytes: rest });
  bar.replaceChildren(...parts.map(({ bytes }, i) => {
    const part = document.createElement("span");
    part.className = `part-${i}`;
    part.style.flex = `${bytes} 0 0`;
    return part;
  }));
  list.replaceChildren(...parts.map(({ name, bytes }, i) => {
    const item = document.createElement("li");
    const size = document.createElement("span");
    item.className = `part-${i}`;
    item.textContent = name;
    size.textContent = megabytes(bytes);
    item.append(" ", size);
    return item;
  }));
  find("total").textContent = megabytes(memoryBytes);
  const words = parts.map(({ name, bytes }) => `${name} ${megabytes(bytes)}`).join(", ");
  bar.setAttribute("aria-label", `Memory: ${megabytes(memoryBytes)}, fixed from now on: ${words}`);
}
