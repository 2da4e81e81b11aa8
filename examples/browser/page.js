/** The page: shows what the engine in its Web Worker tells. */
const find = (id) => document.getElementById(id);
const [loading, bar, regions, talk, form, prompt, send, stop, status] = [
  ...["loading", "bar", "regions", "talk", "form", "prompt", "send", "stop", "status"].map(find),
];

const engine = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
const messages = [];
let reply;
let began = 0;
let nTexts = 0;

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 1)} MB`;

function setBusy(busy) {
  talk.setAttribute("aria-busy", String(busy));
  prompt.disabled = send.disabled = busy;
  stop.disabled = !busy;
  if (!busy) prompt.focus();
}

function addMessage(role, content) {
  const paragraph = document.createElement("p");
  paragraph.className = role;
  paragraph.textContent = content;
  talk.append(paragraph);
  messages.push({ role, content });
  return paragraph;
}

/** Each region as a part of the bar and, in words, of the list below it. */
function showMemory({ regions: planned, memoryBytes }) {
  const parts = planned.filter(({ bytes }) => bytes > memoryBytes / 500);
  parts.forEach(({ name, bytes }, i) => {
    const hue = `${Math.round(360 * i / parts.length)}`;
    const part = document.createElement("span");
    part.style.cssText = `--hue: ${hue}; flex: ${bytes} 0 0`;
    bar.append(part);
    const item = document.createElement("li");
    item.style.cssText = `--hue: ${hue}`;
    item.textContent = `${name} ${megabytes(bytes)}`;
    regions.append(item);
  });
  bar.setAttribute(
    "aria-label",
    `Memory: ${megabytes(memoryBytes)} in ${planned.length} regions, fixed from now on`,
  );
}

const handlers = {
  progress({ loaded, total }) {
    loading.value = loaded / total;
    status.textContent = `Loading: ${megabytes(loaded)} of ${megabytes(total)}`;
  },

  ready(about) {
    loading.value = 1;
    showMemory(about);
    find("about").textContent =
      `${about.name} runs on this device in ${megabytes(about.memoryBytes)} of memory ` +
      `(${about.binary}). Nothing that you write leaves it.`;
    status.textContent = "Ready";
    setBusy(false);
  },

  text({ text }) {
    nTexts++;
    reply.textContent += text;
    messages.at(-1).content += text;
    talk.scrollTop = talk.scrollHeight;
    const seconds = (performance.now() - began) / 1000;
    status.textContent = `${(nTexts / seconds).toFixed(0)} tokens a second`;
  },

  done({ tokens, finishReason, timings }) {
    const speed = Math.round(timings.decodeTokensPerSecond).toLocaleString("en");
    const end = finishReason === "abort" ? "stopped" : "done";
    status.textContent = `${tokens} tokens, ${end}; ${speed} tokens a second, ` +
      `the prompt took ${timings.prefillMs.toFixed(0)} ms`;
    setBusy(false);
  },

  error({ message }) {
    status.textContent = `It failed: ${message}`;
    if (messages.length > 0) setBusy(false);
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
  began = performance.now();
  nTexts = 0;
  setBusy(true);
});

prompt.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey) return;
  event.preventDefault();
  form.requestSubmit();
});

stop.addEventListener("click", () => engine.postMessage({ type: "stop" }));

const { searchParams } = new URL(location.href);
const url = new URL(searchParams.get("model") ?? "model.gguf", location.href).href;
engine.postMessage({ type: "load", url, context: Number(searchParams.get("context") ?? 1024) });
