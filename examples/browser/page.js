/** The page: shows what the engine in its Web Worker tells. */
import { showTokens } from "./heat_map.js";
import { megabytes, showMemory } from "./memory_bar.js";
import { Speedometer } from "./speedometer.js";

const find = (id) => document.getElementById(id);
const [
  loading,
  talk,
  form,
  prompt,
  send,
  stop,
  status,
  settings,
  policy,
  budget,
  apply,
  layer,
  head,
  forget,
] = [
  ...["loading", "talk", "form", "prompt", "send", "stop", "status", "settings", "policy", "budget", "apply"],
  ...["layer", "head", "forget"],
].map(find);

const engine = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
const speedometer = new Speedometer(find("speed"));
const messages = [];
let reply;

function setBusy(busy) {
  talk.setAttribute("aria-busy", String(busy));
  prompt.disabled = send.disabled = apply.disabled = busy;
  stop.disabled = !busy;
}

function addMessage(role, content) {
  const paragraph = document.createElement("p");
  paragraph.className = role;
  paragraph.textContent = content;
  talk.append(paragraph);
  talk.scrollTop = talk.scrollHeight;
  messages.push({ role, content });
  return paragraph;
}

/** As many choices as there are layers or heads, behind that of all. */
function setChoices(select, n) {
  const numbers = Array.from({ length: n }, (_, i) => new Option(String(i + 1), String(i)));
  select.replaceChildren(select.options[0], ...numbers);
}

function load() {
  const { searchParams } = new URL(location.href);
  const url = new URL(searchParams.get("model") ?? "model.gguf", location.href).href;
  const context = Number(searchParams.get("context") ?? 1024);
  const chosen = { policy: policy.value, budget: budget.disabled ? undefined : Number(budget.value) };
  find("loader").hidden = false;
  engine.postMessage({ type: "load", url, context, ...chosen, messages });
}

const handlers = {
  progress({ loaded, total }) {
    loading.value = loaded / total;
    status.textContent = `Loading: ${megabytes(loaded)} of ${megabytes(total)}`;
  },

  ready(about) {
    const { name, binary, memoryBytes, nLayers, nKvHeads, fromStore, stored } = about;
    loading.value = 1;
    find("loader").hidden = true;
    showMemory(about);
    setChoices(layer, nLayers);
    setChoices(head, nKvHeads);
    engine.postMessage({ type: "view", layer: -1, head: -1 });
    find("about").textContent =
      `${name} runs on this device in ${megabytes(memoryBytes)} of memory (${binary}). ` +
      `Nothing that you write leaves it.`;
    find("origin").textContent = fromStore > 0
      ? "The model came out of this device's own store."
      : stored
      ? "The model is kept on this device for the next time."
      : "The model came out of the network.";
    forget.hidden = !stored;
    status.textContent = "Ready";
    setBusy(false);
    // a choice in the settings keeps the focus where it was
    if (document.activeElement === document.body) prompt.focus();
  },

  text({ text }) {
    speedometer.count();
    messages.at(-1).content += text;
    // a reply goes on behind a space
    reply.textContent = messages.at(-1).content.trimStart();
    talk.scrollTop = talk.scrollHeight;
  },

  view: showTokens,

  done({ tokens, finishReason, timings }) {
    const end = finishReason === "abort" ? "stopped" : "done";
    speedometer.stop(timings.decodeTokensPerSecond);
    status.textContent = `${tokens} tokens, ${end}; the prompt took ${timings.prefillMs.toFixed(0)} ms`;
    setBusy(false);
    prompt.focus();
  },

  forgotten() {
    forget.hidden = true;
    find("origin").textContent = "The model is no longer on this device.";
  },

  error({ message }) {
    status.textContent = `It failed: ${message}`;
    setBusy(false);
  },
};

engine.addEventListener("message", ({ data }) => handlers[data.type](data));

form.addEventListener("submit", (event) => {
  event.preventDefault();
  addMessage("user", prompt.value);
  const options = { maxTokens: 200, temperature: 0.7, topP: 0.95 };
  engine.postMessage({ type: "generate", messages, options });
  reply = addMessage("assistant", "");
  prompt.value = "";
  status.textContent = "Writing";
  speedometer.start();
  setBusy(true);
});

prompt.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey) return;
  event.preventDefault();
  form.requestSubmit();
});

stop.addEventListener("click", () => engine.postMessage({ type: "stop" }));
forget.addEventListener("click", () => engine.postMessage({ type: "forget" }));

settings.addEventListener("submit", (event) => {
  event.preventDefault();
  setBusy(true);
  stop.disabled = true;
  load();
});

policy.addEventListener("change", () => {
  budget.disabled = policy.value === "full";
});

for (const select of [layer, head]) {
  select.addEventListener("change", () => {
    engine.postMessage({ type: "view", layer: Number(layer.value), head: Number(head.value) });
  });
}

load();
