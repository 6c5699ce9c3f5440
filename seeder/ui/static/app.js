// The live page: facts from the seeder's API, drawn by difference. docs/operating.md says how to read it.

import { byId, say } from "./dom.js";
import { Fleet, keyOf } from "./model.js";
import { Racks } from "./racks.js";
import { Source } from "./source.js";
import { Story } from "./story.js";
import { tellAddressless, tellCopies, tellLooks, tellReleases, tellVerdict } from "./summary.js";
import { Trouble } from "./trouble.js";
import { Uplink } from "./uplink.js";
import { clock, count } from "./words.js";

const fleet = new Fleet();
const story = new Story();
const open = (key) => story.open(key);
const racks = new Racks(fleet, open);
const trouble = new Trouble(open);
const uplink = new Uplink();
const search = byId("search");
const chosen = new Set();
let timer = 0;
let heard = 0;

/** Tell what is made of all nodes, at most a few times a second. */
function tellSoon() {
  timer ||= setTimeout(() => {
    timer = 0;
    const looks = fleet.looks();
    tellVerdict(looks, fleet.nodes.size);
    tellLooks(looks, chosen);
    trouble.tell(fleet.trouble());
    if (fleet.summary) tellCopies(fleet.summary, fleet.sources());
    tellFound();
  }, 200);
}

const words = () => search.value.toLowerCase().split(/\s+/).filter(Boolean);

function tellFound(shown = null) {
  const isFiltered = words().length > 0 || chosen.size > 0;
  const found = shown ?? (isFiltered ? racks.filter(words(), chosen) : []);
  say(byId("found"), isFiltered ? `${count(found.length, "node")} of ${fleet.nodes.size.toLocaleString("en")} shown` : "");
  return found;
}

const refilter = () => tellFound(racks.filter(words(), chosen));

const WAYS = {
  live: () => "live",
  polling: () => "asking every 2 s",
  lost: () => (heard ? `no answer since ${clock(heard)}; trying again` : "no answer; trying again"),
};

function tellWay(way) {
  if (way !== "lost") heard = Date.now() / 1000;
  byId("way").dataset.way = way;
  say(byId("way-text"), WAYS[way]());
}

search.addEventListener("input", refilter);
search.addEventListener("keydown", (event) => {
  const found = event.key === "Enter" ? refilter() : [];
  if (found.length) open(keyOf(found[0]));
});
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.matches("input")) return;
  event.preventDefault();
  search.focus();
});
byId("chips").addEventListener("click", (event) => {
  const look = event.target.closest(".chip")?.dataset.look;
  if (!look) return;
  if (!chosen.delete(look)) chosen.add(look);
  refilter();
  tellSoon();
});

say(byId("site"), location.host);

new Source({
  onFleet(summary) {
    fleet.summary = summary;
    heard = Date.now() / 1000;
    uplink.take(summary);
    tellReleases(summary);
    tellAddressless(summary.without_address);
    tellSoon();
  },
  onNodes(nodes, gone, isWhole) {
    const difference = fleet.take(nodes, gone, isWhole);
    racks.changed(difference);
    story.changed(difference.changed);
    tellSoon();
  },
  onWay: tellWay,
}).start();
story.start();
