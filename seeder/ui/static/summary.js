// The verdict, how many nodes are in which phase, copies sent, releases and ends.

import { bytes, count, day, duration, phaseLetter, phaseText, rate, LOOKS } from "./words.js";
import { byId, el, renew, say } from "./dom.js";

const SOON_S = 30 * 86400;

/** Tell the fleet's verdict in one sentence. */
export function tellVerdict(looks, total) {
  const [up, failed, stuck] = ["up", "failed", "stuck"].map((look) => looks.get(look) ?? 0);
  let text = "No node has been heard yet";
  if (total) {
    const gone = looks.get("gone") ?? 0;
    const booting = total - up - failed - stuck - gone;
    const parts = [failed && `${failed} failed`, stuck && `${stuck} stuck`, booting && `${booting} booting`].filter(Boolean);
    text = up === total ? `All ${count(total, "node")} are up` : `${up.toLocaleString("en")} of ${count(total, "node")} are up`;
    if (total === 1 && up) text = "The node is up";
    if (parts.length) text += `; ${parts.join(", ")}`;
  }
  say(byId("verdict"), text);
  document.title = failed || stuck ? `(${failed + stuck}) swarmboot` : total ? `${up}/${total} swarmboot` : "swarmboot";
}

/** Tell of machines that no row of the page shows, because DHCP has no address for them. */
export function tellAddressless(without) {
  const total = Number(without?.total) || 0;
  byId("addressless").hidden = !total;
  if (!total) return;
  const macs = (without.macs ?? []).slice(-3).join(", ") + (total > 3 ? ", …" : "");
  say(byId("addressless"), `DHCP has no address left for ${count(total, "machine")} (${macs}): give a larger --dhcp-range, or leases that end sooner`);
}

const rank = new Map([...LOOKS.keys()].map((look, index) => [look, index]));
const inOrder = (looks) => [...looks].sort(([a], [b]) => (rank.get(a) ?? 99) - (rank.get(b) ?? 99));

/** Tell how many nodes have each look: as one bar, and as buttons that choose among them. */
export function tellLooks(looks, chosen) {
  const shown = inOrder(looks);
  for (const look of chosen) if (!looks.has(look)) shown.push([look, 0]);
  renew(byId("bar"), inOrder(looks), ([look]) => look, ([look]) => el("span", { data: { look } }), (part, [, number]) => {
    part.style.flexGrow = String(number);
  });
  renew(byId("chips"), shown, ([look]) => look, makeChip, (chip, [look, number]) => {
    say(chip.lastElementChild, number.toLocaleString("en"));
    chip.setAttribute("aria-pressed", String(chosen.has(look)));
  });
}

function makeChip([look]) {
  const letter = el("span", { className: "cell", textContent: phaseLetter(look), data: { look }, ariaHidden: "true" });
  letter.style.setProperty("--level", ["up", "services", "verification"].includes(look) ? "100%" : look === "images" ? "55%" : "0%");
  letter.style.setProperty("--near", look === "images" ? "35%" : ["services", "verification"].includes(look) ? "100%" : "0%");
  return el("button", { type: "button", className: "chip", data: { look } }, letter, el("span", { textContent: phaseText(look) }), el("b"));
}

/** Tell how many copies the server has sent, where bytes came from, and what the physical limit is. */
export function tellCopies(fleet, { neighbours, origin }) {
  const copies = Number(fleet.copies_sent) || 0;
  const both = neighbours + origin;
  say(byId("copies"), copies.toFixed(copies < 10 ? 2 : 1));
  say(byId("copies-of"), fleet.nodes?.total ? `for ${count(fleet.nodes.total, "node")}` : "");
  const parts = both
    ? [["neighbours", "from neighbours", neighbours], ["origin", "from the origin", origin]]
    : [];
  renew(byId("sources"), parts, ([name]) => name, makeSource, (row, [, , value]) => {
    row.querySelector("i").style.width = `${(100 * value) / both}%`;
    say(row.lastElementChild.lastElementChild, `${bytes(value)}, ${((100 * value) / both).toFixed(value < both / 100 || value > both * 0.99 ? 1 : 0)} %`);
  });
  say(byId("limit"), limitText(fleet));
}

function makeSource([name, text]) {
  const line = el("span", { className: "track" }, el("i", { className: `fill ${name}` }));
  return el("div", {}, el("dt", { textContent: text }), el("dd", {}, line, el("span")));
}

/** Return what no way of sending could beat: one copy through the uplink, where nodes' links are as fast as it. */
function limitText(fleet) {
  const release = (fleet.releases ?? []).reduce((most, each) => ((each.nodes ?? 0) > (most?.nodes ?? -1) ? each : most), null);
  const size = Number(release?.size_bytes) || 0;
  if (!size || !fleet.uplink_limit_bytes_per_s) return "";
  const limit = size / fleet.uplink_limit_bytes_per_s;
  const what = `one copy, ${bytes(size)}, at ${rate(fleet.uplink_limit_bytes_per_s)}`;
  return `The physical limit T* is ${duration(limit)}: ${what}. Copies to every node would take ${duration(limit * (fleet.nodes?.total || 1))}.`;
}

/** Tell the releases with their channels, and what ends when. */
export function tellReleases(fleet) {
  renew(byId("releases"), fleet.releases ?? [], (release) => release.sequence, makeRow, (row, release) => {
    say(row.children[0], `${release.name || "release"}`);
    say(row.children[1], [`no. ${release.sequence}`, ...(release.channels ?? [])].join(" · "));
    say(row.children[2], count(release.nodes ?? 0, "node"));
  });
  const now = fleet.time || Date.now() / 1000;
  const ends = [...(fleet.ends ?? [])].sort((a, b) => a.unix_s - b.unix_s);
  renew(byId("ends"), ends, (end) => end.what, makeRow, (row, end) => {
    const left = end.unix_s - now;
    row.dataset.soon = left <= 0 ? "over" : left < SOON_S ? "soon" : "";
    say(row.children[0], end.what);
    say(row.children[1], day(end.unix_s));
    say(row.children[2], left <= 0 ? "has ended" : `in ${duration(left)}`);
  });
  byId("ends-title").hidden = !ends.length;
}

function makeRow() {
  return el("li", {}, el("b"), el("span", { className: "soft" }), el("span", { className: "much" }));
}
