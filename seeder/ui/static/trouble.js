// Failed and stuck nodes, before everything else.

import { phaseLetter, phaseText, duration } from "./words.js";
import { byId, el, renew, say } from "./dom.js";
import { keyOf, lookOf, nameOf } from "./model.js";

const FIRST = 8;

export class Trouble {
  #open;
  #isWhole = false;
  #nodes = [];

  constructor(open) {
    this.#open = open;
    byId("trouble-more").addEventListener("click", () => {
      this.#isWhole = !this.#isWhole;
      this.tell(this.#nodes);
    });
    byId("trouble-list").addEventListener("click", (event) => {
      const row = event.target.closest("li");
      if (row) this.#open(row.dataset.key);
    });
  }

  /** Show these nodes, in this order. */
  tell(nodes) {
    this.#nodes = nodes;
    byId("trouble").hidden = !nodes.length;
    const shown = this.#isWhole ? nodes : nodes.slice(0, FIRST);
    renew(byId("trouble-list"), shown, keyOf, makeRow, tellRow);
    const more = byId("trouble-more");
    more.hidden = nodes.length <= FIRST;
    say(more, this.#isWhole ? "Show fewer" : `Show all ${nodes.length}`);
  }
}

function makeRow() {
  const mark = el("span", { className: "cell", ariaHidden: "true" });
  const who = el("span", { className: "who" }, el("b"), el("span", { className: "soft" }));
  const why = el("span", { className: "why" });
  const when = el("span", { className: "when soft" });
  return el("li", {}, el("button", { type: "button" }, mark, who, why, when));
}

function tellRow(row, node) {
  const [mark, who, why, when] = row.firstElementChild.children;
  const look = lookOf(node);
  mark.dataset.look = look;
  say(mark, phaseLetter(look));
  say(who.firstElementChild, nameOf(node));
  say(who.lastElementChild, [node.rack && `rack ${node.rack}`, node.name ? node.mac || node.address : ""].filter(Boolean).join(" · "));
  const since = node.since_unix_s ? ` for ${duration(Date.now() / 1000 - node.since_unix_s)}` : "";
  say(why, node.cause || `${look}, cause unknown`);
  say(when, [`${look}${since}`, node.phase && phaseText(node.phase)].filter(Boolean).join(", "));
}
