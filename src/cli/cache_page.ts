/**
 * A page that shows what a policy keeps: tokens shaded by score and struck through when evicted, by layer and head,
 * with a slider over steps; and how much attention few tokens draw. One file without anything to load.
 *
 * @module
 */

/** One KV head after one step. */
export interface HeadState {
  readonly positions: readonly number[];
  readonly scores: readonly number[];
}

/** What the page shows. */
export interface CacheStory {
  readonly title: string;
  /** Texts of all tokens read. */
  readonly tokens: readonly string[];
  /** Tokens of the prompt. */
  readonly promptTokens: number;
  /** After the prompt and after every later token: by layer and KV head. */
  readonly steps: readonly (readonly (readonly HeadState[])[])[];
  /** Per layer, its heads' mean: share of the prompt's attention on the 1 %, 2 %, … 100 % of tokens that draw most. */
  readonly mass: readonly (readonly number[])[];
}

const STYLE = `
body { font: 16px/1.6 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222 }
h1 { font-size: 1.3rem } #text { white-space: pre-wrap; border: 1px solid #ccc; padding: 1rem; border-radius: 6px }
#text span { border-radius: 2px } #text .gone { text-decoration: line-through; color: #aaa }
#text .later { color: #ddd } #text .reply { border-bottom: 2px solid #2a6 }
label { margin-right: 1.5rem } input[type=range] { width: 24rem; vertical-align: middle }
svg text { font-size: 11px; fill: #444 }`;

const SCRIPT = `
const story = JSON.parse(document.getElementById("story").textContent);
const [layer, head, step, count, text] = ["layer", "head", "step", "count", "text"].map((id) => document.getElementById(id));
layer.max = story.steps[0].length - 1;
head.max = story.steps[0][0].length - 1;
step.max = story.steps.length - 1;
const spans = story.tokens.map((token, i) => {
  const span = document.createElement("span");
  span.textContent = token;
  text.append(span);
  return span;
});
function show() {
  const { positions, scores } = story.steps[step.value][layer.value][head.value];
  const read = story.promptTokens + Number(step.value);
  const held = new Map(positions.map((position, i) => [position, scores[i] ?? 0]));
  const most = Math.max(1e-9, ...scores);
  spans.forEach((span, i) => {
    span.className = (i >= read ? "later" : held.has(i) ? "" : "gone") + (i >= story.promptTokens ? " reply" : "");
    const shade = held.has(i) ? 0.08 + 0.8 * Math.sqrt(held.get(i) / most) : 0;
    span.style.background = i < read && held.has(i) ? "rgba(250, 160, 30, " + shade + ")" : "";
    span.title = held.has(i) ? "position " + i + ", score " + held.get(i).toFixed(3) : "position " + i;
  });
  count.textContent = "layer " + layer.value + ", head " + head.value + ", after " + read + " tokens: " +
    positions.length + " held";
}
for (const input of [layer, head, step]) input.addEventListener("input", show);
show();`;

/** Makes the page. */
export function cachePage(story: CacheStory): string {
  // "<" would end the script element if it stood in a token.
  const data = JSON.stringify(story).replaceAll("<", "\\u003c");
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>${escape(story.title)}</title><style>${STYLE}</style>
<h1>${escape(story.title)}</h1>
<p><label>Layer <input id="layer" type="number" min="0" value="0"></label>
<label>KV head <input id="head" type="number" min="0" value="0"></label>
<label>Step <input id="step" type="range" min="0" value="0"></label></p>
<p id="count"></p><div id="text"></div>
<p>Darker tokens score higher; struck through ones have been evicted; underlined ones are the reply.</p>
<h1>Share of attention on the tokens that draw most, by layer</h1>
${massPlot(story.mass)}
<script type="application/json" id="story">${data}</script><script>${SCRIPT}</script></html>
`;
}

function massPlot(mass: CacheStory["mass"]): string {
  const [width, height, left, right, bottom] = [540, 260, 44, 28, 30];
  const x = (share: number) => left + share * (width - left - right);
  const y = (share: number) => 10 + (1 - share) * (height - 10 - bottom);
  const lines = mass.map((curve, layer) => {
    const points = curve.map((value, i) => `${x((i + 1) / curve.length).toFixed(1)},${y(value).toFixed(1)}`)
      .join(" ");
    const colour = `hsl(${Math.round(260 * layer / Math.max(1, mass.length - 1))} 70% 45%)`;
    return `<polyline points="${x(0)},${
      y(0)
    } ${points}" fill="none" stroke="${colour}"><title>layer ${layer}</title></polyline>`;
  });
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) =>
    `<text x="${x(share)}" y="${height - 12}" text-anchor="middle">${100 * share} %</text>` +
    `<text x="${left - 6}" y="${y(share) + 4}" text-anchor="end">${100 * share} %</text>` +
    `<line x1="${left}" x2="${width - right}" y1="${y(share)}" y2="${y(share)}" stroke="#eee"/>`
  );
  return `<svg viewBox="0 0 ${width} ${height}" width="${width}" role="img">${ticks.join("")}${
    lines.join("")
  }</svg>
<p>Across: share of the prompt's tokens, those first that draw most attention from all rows of the prompt. Up: their share
of it, mean of a layer's heads; from red to violet, the first to the last layer.</p>`;
}

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);
}
