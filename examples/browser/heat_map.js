/** The tokens of a conversation, shaded by score, struck through when no head holds them any more. */
const find = (id) => document.getElementById(id);
const [list, summary, detail, table] = ["tokens", "summary", "token", "table"].map(find);

/** Rows of the table. */
const N_ROWS = 12;

const percent = (share) => `${Math.round(100 * share)} %`;
const quoted = (text) => `“${text.replaceAll("\n", "↵").trim() || "space"}”`;

let shown = { texts: [], scores: [], kept: [], read: 0 };
let chosen = -1;

/** Shows the tokens of `view`, as the worker tells them. */
export function showTokens(view) {
  shown = view;
  const { texts, scores, kept, read } = view;
  while (list.childElementCount > texts.length) list.lastElementChild.remove();
  while (list.childElementCount < texts.length) list.append(newToken(list.childElementCount));
  const most = Math.max(...scores, 1e-30);
  [...list.children].forEach((element, i) => {
    if (element.textContent !== texts[i]) element.textContent = texts[i];
    element.className = i >= read ? "unread" : kept[i] > 0 ? "" : "evicted";
    // small scores are many: the root tells them apart
    element.style.setProperty("--score", Math.sqrt(scores[i] / most).toFixed(3));
    element.setAttribute("aria-label", describe(i));
  });
  const held = kept.slice(0, read).filter((share) => share > 0).length;
  const slots = kept.reduce((sum, share) => sum + share, 0);
  summary.textContent = summarise(read, held, Math.round(slots));
  find("read").textContent = read.toLocaleString("en");
  find("kept").textContent = percent(slots / Math.max(1, read));
  choose(Math.min(chosen, texts.length - 1));
  fillTable();
}

function summarise(read, held, slots) {
  if (held === read) return `All ${read} tokens are kept.`;
  const evicted = `${read - held} are evicted.`;
  if (held === slots) return `${held} of ${read} tokens are kept; ${evicted}`;
  return `${held} of ${read} tokens are kept by at least one head, ${slots} by each in the mean; ${evicted}`;
}

function newToken(index) {
  const element = document.createElement("span");
  element.role = "option";
  element.id = `token-${index}`;
  return element;
}

function describe(i) {
  const { texts, scores, kept, read } = shown;
  const state = i >= read
    ? "not read yet"
    : kept[i] === 0
    ? "evicted"
    : `kept by ${percent(kept[i])} of heads, score ${scores[i].toFixed(2)}`;
  return `${quoted(texts[i])}, position ${i}, ${state}`;
}

function choose(index) {
  list.querySelector("[aria-selected]")?.removeAttribute("aria-selected");
  chosen = index;
  const element = list.children[index];
  if (element === undefined) {
    list.removeAttribute("aria-activedescendant");
    detail.textContent = "";
    return;
  }
  element.setAttribute("aria-selected", "true");
  list.setAttribute("aria-activedescendant", element.id);
  detail.textContent = describe(index);
}

function fillTable() {
  const { texts, scores, kept } = shown;
  const best = [...scores.keys()].filter((i) => kept[i] > 0).sort((a, b) => scores[b] - scores[a]);
  table.replaceChildren(
    ...best.slice(0, N_ROWS).map((i) => {
      const row = document.createElement("tr");
      for (const text of [quoted(texts[i]), i, percent(kept[i]), scores[i].toFixed(2)]) {
        row.insertCell().textContent = text;
      }
      return row;
    }),
  );
}

const STEPS = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10, Home: -Infinity, End: Infinity };

list.addEventListener("keydown", (event) => {
  const step = STEPS[event.key];
  if (step === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  choose(Math.max(0, Math.min(shown.texts.length - 1, chosen + step)));
  list.children[chosen]?.scrollIntoView({ block: "nearest" });
});

list.addEventListener("click", ({ target }) => {
  if (target !== list) choose([...list.children].indexOf(target));
});
