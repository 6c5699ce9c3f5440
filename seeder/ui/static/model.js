// The fleet as the page knows it. Values only; what is drawn of it is elsewhere.

const ENDED = new Set(["failed", "stuck", "gone", "up"]);

/** Return what a node looks like: its state where that says most, else its phase. */
export const lookOf = (node) => (ENDED.has(node.state) ? node.state : node.phase || node.state || "queue");

/** Return what a person calls a node: its name, else its MAC address, its address, its id. */
export const nameOf = (node) => node.name || node.mac || node.address || keyOf(node);

/** Return what the API knows a boot by. */
export const keyOf = (node) => String(node.id || node.boot || node.mac);

/** Return how many bytes came from neighbours, from the origin, and the neighbours' share of them, 0 to 1. */
export function sourcesOf(node) {
  const from = node.bytes_from ?? {};
  const neighbours = Number(from.neighbours) || 0;
  const origin = Number(from.origin) || 0;
  return { neighbours, origin, share: neighbours + origin > 0 ? neighbours / (neighbours + origin) : 0 };
}

/** Return how much of its images a node has, 0 to 100. */
export function percentOf(node) {
  const look = lookOf(node);
  if (look === "up" || look === "services") return 100;
  return Math.min(100, Math.max(0, Number(node.percent) || 0));
}

/** What changes by itself as time passes, and is no change. */
const PASSING = { since_s: 0, heard_unix_s: 0 };

const places = new Map();

/** Return what a name is sorted by: its numbers as numbers, so that node-9 stands before node-10. */
function placeOf(name) {
  let place = places.get(name);
  if (place === undefined) {
    if (places.size > 20000) places.clear();
    places.set(name, (place = name.toLowerCase().replace(/\d+/g, (digits) => digits.padStart(12, "0"))));
  }
  return place;
}

const byText = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

export class Fleet {
  summary = null;
  nodes = new Map();

  /** Take nodes in, all there are or those that changed; return the keys of the new or changed and of the gone. */
  take(nodes, ended, isWhole) {
    const changed = [];
    const told = new Set();
    for (const node of nodes) {
      const key = keyOf(node);
      told.add(key);
      const text = JSON.stringify({ ...node, ...PASSING });
      if (this.nodes.get(key)?.text !== text) changed.push(key);
      this.nodes.set(key, { ...node, text });
    }
    const gone = isWhole ? [...this.nodes.keys()].filter((key) => !told.has(key)) : ended.filter((key) => this.nodes.has(key));
    for (const key of gone) this.nodes.delete(key);
    return { changed, gone };
  }

  /** Return the nodes by rack, racks and nodes in their names' order, those of no rack last. */
  byRack() {
    const racks = new Map();
    for (const node of this.nodes.values()) {
      const rack = node.rack || "";
      if (!racks.has(rack)) racks.set(rack, []);
      racks.get(rack).push(node);
    }
    for (const nodes of racks.values()) {
      nodes.sort((a, b) => byText(placeOf(nameOf(a)), placeOf(nameOf(b))) || byText(keyOf(a), keyOf(b)));
    }
    return [...racks].sort(([a], [b]) => !a - !b || byText(placeOf(a), placeOf(b)));
  }

  /** Return how many bytes all nodes together have from neighbours and from the origin. */
  sources() {
    const all = { neighbours: 0, origin: 0 };
    for (const node of this.nodes.values()) {
      const { neighbours, origin } = sourcesOf(node);
      all.neighbours += neighbours;
      all.origin += origin;
    }
    return all;
  }

  /** Return how many nodes have each look. */
  looks() {
    const counts = new Map();
    for (const node of this.nodes.values()) counts.set(lookOf(node), (counts.get(lookOf(node)) ?? 0) + 1);
    return counts;
  }

  /** Return the nodes that need somebody: failed before stuck, the longest so first. */
  trouble() {
    const order = { failed: 0, stuck: 1 };
    return [...this.nodes.values()]
      .filter((node) => lookOf(node) in order)
      .sort((a, b) => order[lookOf(a)] - order[lookOf(b)] || (a.since_unix_s ?? 0) - (b.since_unix_s ?? 0));
  }

  /** Return whether what a person typed is in what a node is called or where it is. */
  static matches(node, words) {
    const text = [node.name, node.mac, node.address, node.rack, node.id, node.boot, node.cause].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  }
}
