// Racks of nodes: one button a node, told anew only where something changed and only so many a frame.

import { duration, phaseLetter, phaseText } from "./words.js";
import { byId, el, renew, say } from "./dom.js";
import { Fleet, keyOf, lookOf, nameOf, percentOf, sourcesOf } from "./model.js";

const FRAME_MS = 5;

export class Racks {
  #fleet;
  #open;
  #map = byId("map");
  #tip = byId("tip");
  #cells = new Map();
  #order = [];
  #stale = new Set();
  #isPlaced = true;
  #placing = null;
  #frame = 0;
  #current = null;
  #words = [];
  #looks = new Set();
  #asked = "[[],[]]";

  /** `open(key)` is called when somebody chooses a node. */
  constructor(fleet, open) {
    this.#fleet = fleet;
    this.#open = open;
    this.#map.addEventListener("click", (event) => this.#chosen(event));
    this.#map.addEventListener("keydown", (event) => this.#moved(event));
    this.#map.addEventListener("focusin", (event) => this.#pointed(event.target, true));
    this.#map.addEventListener("focusout", () => this.#hideTip());
    this.#map.addEventListener("pointerover", (event) => this.#pointed(event.target, false));
    this.#map.addEventListener("pointerleave", () => this.#hideTip());
    addEventListener("scroll", () => this.#hideTip(), { passive: true });
  }

  /** Draw these nodes anew when there is time. */
  changed({ changed, gone }) {
    for (const key of changed) {
      const cell = this.#cells.get(key);
      if (!cell || cell.rack !== (this.#fleet.nodes.get(key).rack || "")) this.#isPlaced = false;
      this.#stale.add(key);
    }
    if (gone.length) this.#isPlaced = false;
    this.#schedule();
  }

  /** Show only nodes that match all words and have one of the looks, if any are given; return how many those are. */
  filter(words, looks) {
    const asked = JSON.stringify([words, [...looks]]);
    if (asked !== this.#asked) {
      [this.#asked, this.#words, this.#looks] = [asked, words, looks];
      for (const key of this.#cells.keys()) this.#stale.add(key);
      this.#schedule();
    }
    return [...this.#fleet.nodes.values()].filter((node) => this.#isShown(node));
  }

  #isShown(node) {
    return (!this.#looks.size || this.#looks.has(lookOf(node))) && Fleet.matches(node, this.#words);
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      const until = performance.now() + FRAME_MS;
      if (!this.#isPlaced) {
        this.#isPlaced = true;
        this.#placing = this.#place();
      }
      while (this.#placing && performance.now() < until) if (this.#placing.next().done) this.#placing = null;
      if (this.#placing) return void this.#schedule();
      for (const key of this.#stale) {
        this.#stale.delete(key);
        const node = this.#fleet.nodes.get(key);
        const cell = this.#cells.get(key);
        if (node && cell) this.#draw(cell, node);
        if (performance.now() > until) break;
      }
      if (this.#stale.size) this.#schedule();
      else this.#heads();
    });
  }

  /** Put every node into its rack, a rack at a time. */
  *#place() {
    const racks = this.#fleet.byRack();
    this.#map.dataset.size = this.#fleet.nodes.size > 900 ? "many" : this.#fleet.nodes.size > 160 ? "some" : "few";
    renew(this.#map, racks, ([rack]) => rack, makeRack);
    for (const [index, [rack, nodes]] of racks.entries()) {
      renew(this.#map.children[index].lastElementChild, nodes, keyOf, (node) => this.#make(node, rack));
      yield;
    }
    this.#order = racks.flatMap(([, nodes]) => nodes.map(keyOf));
    const known = new Set(this.#order);
    for (const key of this.#cells.keys()) if (!known.has(key)) this.#cells.delete(key);
    if (!known.has(this.#current)) this.#makeCurrent(this.#order[0] ?? null);
  }

  #make(node, rack) {
    const key = keyOf(node);
    const button = el("button", { className: "cell", type: "button", tabIndex: key === this.#current ? 0 : -1 });
    this.#cells.set(key, { button, rack, look: "", label: "" });
    this.#stale.add(key);
    return button;
  }

  #draw(cell, node) {
    const { button } = cell;
    const look = lookOf(node);
    if (cell.look !== look) {
      cell.look = look;
      button.dataset.look = look;
      button.textContent = phaseLetter(look);
    }
    const { share } = sourcesOf(node);
    const percent = percentOf(node);
    const level = `${Math.round(percent)}%`;
    const near = `${Math.round(percent * share)}%`;
    if (cell.level !== level) button.style.setProperty("--level", (cell.level = level));
    if (cell.near !== near) button.style.setProperty("--near", (cell.near = near));
    const label = labelOf(node);
    if (cell.label !== label) button.setAttribute("aria-label", (cell.label = label));
    const isDim = !this.#isShown(node);
    if (cell.isDim !== isDim) button.classList.toggle("dim", (cell.isDim = isDim));
  }

  /** Tell each rack's head how its nodes are. */
  #heads() {
    for (const section of this.#map.children) {
      const looks = { all: 0, up: 0, failed: 0, stuck: 0 };
      const from = { neighbours: 0, origin: 0 };
      for (const button of section.lastElementChild.children) {
        looks.all += 1;
        if (button.dataset.look in looks) looks[button.dataset.look] += 1;
        const { neighbours, origin } = sourcesOf(this.#fleet.nodes.get(button.dataset.key) ?? {});
        from.neighbours += neighbours;
        from.origin += origin;
      }
      const bad = ["failed", "stuck"].filter((look) => looks[look]).map((look) => `, ${looks[look]} ${look}`).join("");
      const [, said, source] = section.firstElementChild.children;
      say(said, `${looks.up} of ${looks.all} up${bad}`);
      const share = from.neighbours + from.origin ? from.neighbours / (from.neighbours + from.origin) : 0;
      source.hidden = !share && !from.origin;
      const near = `${(100 * share).toFixed(1)}%`;
      if (source.title !== near) source.style.setProperty("--near", (source.title = near));
      section.dataset.bad = looks.failed ? "failed" : looks.stuck ? "stuck" : "";
    }
  }

  #keyOfTarget(target) {
    return target.closest?.(".cell")?.dataset.key ?? null;
  }

  #chosen(event) {
    const key = this.#keyOfTarget(event.target);
    if (key === null) return;
    this.#makeCurrent(key);
    this.#hideTip();
    this.#open(key);
  }

  #makeCurrent(key) {
    const before = this.#cells.get(this.#current);
    if (before) before.button.tabIndex = -1;
    this.#current = key;
    const now = this.#cells.get(key);
    if (now) now.button.tabIndex = 0;
  }

  #moved(event) {
    const key = this.#keyOfTarget(event.target);
    if (key === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const place = this.#order.indexOf(key);
    const to = {
      ArrowRight: () => place + 1,
      ArrowLeft: () => place - 1,
      ArrowDown: () => this.#below(place, 1),
      ArrowUp: () => this.#below(place, -1),
      Home: () => 0,
      End: () => this.#order.length - 1,
      PageDown: () => this.#nextRack(place, 1),
      PageUp: () => this.#nextRack(place, -1),
    }[event.key];
    if (!to) return;
    event.preventDefault();
    const next = this.#order[Math.min(this.#order.length - 1, Math.max(0, to()))];
    this.#makeCurrent(next);
    this.#cells.get(next).button.focus();
  }

  /** Return the place of the nearest node in the row of nodes below (1) or above (-1), over racks. */
  #below(place, step) {
    const at = (index) => this.#cells.get(this.#order[index]).button.getBoundingClientRect();
    const from = at(place);
    let best = place;
    let bestTop = null;
    for (let index = place + step; index >= 0 && index < this.#order.length; index += step) {
      const box = at(index);
      if ((box.top - from.top) * step < from.height / 2) continue;
      bestTop ??= box.top;
      if ((box.top - bestTop) * step > from.height / 2) break;
      if (best === place || Math.abs(box.left - from.left) < Math.abs(at(best).left - from.left)) best = index;
    }
    return best;
  }

  #nextRack(place, step) {
    const rack = (index) => this.#cells.get(this.#order[index])?.rack;
    let index = place;
    while (rack(index) === rack(place)) index += step;
    if (step < 0 && index >= 0) while (index > 0 && rack(index - 1) === rack(index)) index -= 1;
    return index;
  }

  #pointed(target, isFocus) {
    const key = this.#keyOfTarget(target);
    const node = this.#fleet.nodes.get(key);
    if (!node) return this.#hideTip();
    if (isFocus) {
      this.#makeCurrent(key);
      if (!target.matches(":focus-visible")) return;
    }
    const { neighbours, origin } = sourcesOf(node);
    this.#tip.replaceChildren(
      el("b", { textContent: nameOf(node) }),
      el("span", { textContent: stateText(node) }),
      node.cause ? el("span", { className: "cause", textContent: node.cause }) : null,
      neighbours + origin ? el("span", { className: "soft", textContent: `${Math.round((100 * neighbours) / (neighbours + origin))} % from neighbours` }) : null,
    );
    this.#tip.hidden = false;
    const cell = target.closest(".cell").getBoundingClientRect();
    const tip = this.#tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, cell.left + cell.width / 2 - tip.width / 2), innerWidth - tip.width - 8);
    const top = cell.top - tip.height - 8 > 0 ? cell.top - tip.height - 8 : cell.bottom + 8;
    this.#tip.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }

  #hideTip() {
    this.#tip.hidden = true;
  }
}

function makeRack([rack]) {
  const name = el("b", { textContent: rack || "no rack" });
  return el("section", { className: "rack" }, el("h3", {}, name, el("span"), el("i", { className: "source", ariaHidden: "true" })), el("div", { className: "cells" }));
}

/** Return "failed" or "stuck", and in which phase, if that is known. */
export const stateWords = (look, node) => [look, node.phase && phaseText(node.phase)].filter(Boolean).join(": ");

/** Return a node's state in a few words. */
export function stateText(node) {
  const look = lookOf(node);
  const phase = look === "failed" || look === "stuck" ? stateWords(look, node) : phaseText(look);
  const percent = look === "images" || (look === "stuck" && node.phase === "images") ? ` ${Math.round(percentOf(node))} %` : "";
  const since = node.since_unix_s && look !== "up" ? `, for ${duration(Date.now() / 1000 - node.since_unix_s)}` : "";
  return `${phase}${percent}${since}`;
}

/** Return what a screen reader says of a node; it has no clock in it, so that it changes only with the node. */
function labelOf(node) {
  const look = lookOf(node);
  const { share, neighbours, origin } = sourcesOf(node);
  const parts = [nameOf(node), node.rack ? `rack ${node.rack}` : "", phaseText(look)];
  if (look === "failed" || look === "stuck") parts.push(phaseText(node.phase ?? ""), node.cause);
  if (look === "images") parts.push(`${Math.round(percentOf(node) / 10) * 10} percent`);
  if (neighbours + origin) parts.push(`${Math.round(share * 10) * 10} percent from neighbours`);
  return parts.filter(Boolean).join(", ");
}
