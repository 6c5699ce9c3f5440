// One boot's story: a waterfall of its phases, where its bytes came from, its faults, the cause and what to do.

import { bytes, clock, day, duration, phaseLetter, phaseText } from "./words.js";
import { byId, el, say } from "./dom.js";
import { keyOf, lookOf, nameOf } from "./model.js";
import { stateWords } from "./racks.js";
import { ask } from "./source.js";

const AGAIN_MS = 1000;

export class Story {
  #dialog = byId("story");
  #body = byId("story-body");
  #key = null;
  #timer = 0;
  #told = "";

  constructor() {
    byId("story-close").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
    this.#dialog.addEventListener("close", () => this.#closed());
    addEventListener("hashchange", () => this.#follow());
  }

  /** Open the boot that the address names, if it does. */
  start() {
    this.#follow();
  }

  /** Open a boot: its address can be sent to somebody. */
  open(key) {
    location.hash = `node=${encodeURIComponent(key)}`;
    this.#follow();
  }

  /** Take note that these boots have changed. */
  changed(keys) {
    if (this.#key !== null && keys.includes(this.#key)) this.#timer ||= setTimeout(() => this.#read(), AGAIN_MS);
  }

  #follow() {
    const named = /^#node=(.+)$/.exec(location.hash)?.[1];
    if (!named) return void (this.#dialog.open && this.#dialog.close());
    const key = decodeURIComponent(named);
    if (key === this.#key) return;
    this.#key = key;
    this.#told = "";
    say(byId("story-name"), key);
    say(byId("story-where"), "");
    this.#body.replaceChildren(el("p", { className: "note", textContent: "Reading its boot …" }));
    if (!this.#dialog.open) this.#dialog.showModal();
    byId("story-name").focus();
    this.#read();
  }

  #closed() {
    this.#key = null;
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  }

  async #read() {
    const key = this.#key;
    try {
      const story = await ask(`../api/nodes/${encodeURIComponent(key)}`);
      if (key === this.#key && JSON.stringify(story) !== this.#told) this.#tell(story);
    } catch (error) {
      if (key === this.#key) this.#body.replaceChildren(el("p", { className: "note", textContent: `No story of this boot: ${error.message}` }));
    }
    this.#timer = 0;
  }

  #tell(story) {
    this.#told = JSON.stringify(story);
    const node = story;
    say(byId("story-name"), nameOf(node));
    say(byId("story-where"), [node.rack && `rack ${node.rack}`, node.address, node.mac].filter(Boolean).join(" · "));
    this.#body.replaceChildren(
      ...[verdict(story, node), waterfall(story, node), sources(node), faults(story), facts(node), earlier(story, (key) => this.open(key))].filter(Boolean),
    );
  }
}

const part = (title, ...children) => el("section", {}, el("h3", { textContent: title }), ...children);

function verdict(story, node) {
  const look = lookOf(node);
  const mark = el("span", { className: "cell", textContent: phaseLetter(look), data: { look }, ariaHidden: "true" });
  mark.style.setProperty("--level", "100%");
  mark.style.setProperty("--near", "100%");
  const words = look === "failed" || look === "stuck" ? stateWords(look, node) : phaseText(look);
  const { cause } = story;
  return el(
    "div",
    { className: "callout", data: { look } },
    el("p", { className: "state" }, mark, el("b", { textContent: words })),
    cause ? el("p", { textContent: cause }) : null,
    story.advice ? el("p", { className: "advice", textContent: story.advice }) : null,
  );
}

/** Return the phases as bars over a common time; a phase that has not ended goes on to the right edge. */
function waterfall(story, node) {
  const phases = (story.phases ?? []).filter((phase) => Number.isFinite(phase.start_unix_s));
  if (!phases.length) return null;
  const now = story.time ?? Date.now() / 1000;
  const first = Math.min(...phases.map((phase) => phase.start_unix_s));
  const last = Math.max(...phases.map((phase) => phase.end_unix_s ?? now), first + 0.1);
  const rows = phases.map((phase) => {
    const end = phase.end_unix_s ?? now;
    const bar = el("i", { className: "fill", data: { look: phase.name, open: phase.end_unix_s == null ? lookOf(node) : "" } });
    bar.style.left = `${(100 * (phase.start_unix_s - first)) / (last - first)}%`;
    bar.style.width = `${(100 * (end - phase.start_unix_s)) / (last - first)}%`;
    const took = `${duration(end - phase.start_unix_s)}${phase.end_unix_s == null ? " …" : ""}`;
    return el("li", {}, el("span", { textContent: phaseText(phase.name) }), el("span", { className: "track", ariaHidden: "true" }, bar), el("span", { className: "much", textContent: took }));
  });
  const scale = el("p", { className: "axis" }, el("span", { textContent: clock(first) }), el("span", { textContent: `${duration(last - first)} in all` }), el("span", { textContent: clock(last) }));
  return part("Waterfall", el("ol", { className: "falls" }, ...rows), scale);
}

const SOURCES = { origin: "the origin", cache: "its own cache" };

function sources(node) {
  const from = Object.entries(node.bytes_from ?? {}).filter(([, value]) => Number(value) > 0);
  const all = from.reduce((sum, [, value]) => sum + Number(value), 0);
  if (!all) return null;
  const rows = from.map(([name, value]) => {
    const bar = el("i", { className: `fill ${name}` });
    bar.style.width = `${(100 * value) / all}%`;
    const text = `${bytes(value)}, ${Math.round((100 * value) / all)} %`;
    return el("li", {}, el("span", { textContent: `from ${SOURCES[name] ?? name}` }), el("span", { className: "track", ariaHidden: "true" }, bar), el("span", { className: "much", textContent: text }));
  });
  return part("Bytes", el("ul", { className: "falls" }, ...rows));
}

function faults(story) {
  const rows = (story.faults ?? []).map((fault) => {
    const status = fault.exit_status;
    return el("li", {}, el("span", { className: "soft", textContent: fault.unix_s ? clock(fault.unix_s) : "" }), el("span", { textContent: fault.text }), status ? el("span", { className: "soft", textContent: `status ${status}` }) : null);
  });
  return rows.length ? part("Faults", el("ul", { className: "faults" }, ...rows)) : null;
}

const FACTS = [
  ["release", "Manifest"],
  ["channel", "Channel"],
  ["profile", "Profile"],
  ["mac", "MAC"],
  ["addresses", "Addresses"],
  ["ram_bytes", "Memory"],
  ["rescues", "Rescues"],
  ["hash_failures", "Corrupt pieces"],
  ["kernel", "Kernel"],
  ["stage0", "Stage 0"],
  ["bans", "Banned"],
  ["boot", "Boot id"],
  ["id", "Record"],
];

function facts(node) {
  const rows = FACTS.filter(([name]) => node[name] && String(node[name])).map(([name, title]) => {
    const value = name === "ram_bytes" ? bytes(node[name]) : Array.isArray(node[name]) ? node[name].join(", ") : String(node[name]);
    return el("div", {}, el("dt", { textContent: title }), el("dd", { textContent: value }));
  });
  return rows.length ? part("Facts", el("dl", { className: "facts" }, ...rows)) : null;
}

function earlier(story, open) {
  const boots = (story.earlier ?? []).map((boot) => {
    const look = boot.outcome === "left" ? "gone" : boot.outcome;
    const mark = el("span", { className: "cell", textContent: phaseLetter(look), data: { look }, ariaHidden: "true" });
    const button = el("button", { type: "button" }, mark, el("span", { textContent: boot.began_unix_s ? day(boot.began_unix_s) : keyOf(boot) }), el("span", { className: "soft", textContent: boot.fault || phaseText(boot.outcome) }));
    button.addEventListener("click", () => open(keyOf(boot)));
    return el("li", {}, button);
  });
  return boots.length ? part("Earlier boots", el("ul", { className: "earlier" }, ...boots)) : null;
}
