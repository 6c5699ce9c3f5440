// The uplink, now and over the last minutes, against its limit. The page keeps what it has seen; the server keeps none.

import { byId, say, svg } from "./dom.js";
import { duration, rate } from "./words.js";

const SPAN_S = 600;
const WIDTH = 600;
const HEIGHT = 140;

export class Uplink {
  #samples = [];
  #limit = 0;
  #area = svg("path", { class: "area" });
  #line = svg("path", { class: "line" });
  #bound = svg("line", { class: "bound", x1: 0, x2: WIDTH });

  constructor() {
    byId("uplink").append(this.#area, this.#line, this.#bound);
  }

  /** Take in a summary; `uplink_history` are earlier samples, [Unix seconds, bytes per second], if the server has them. */
  take(fleet) {
    const at = fleet.time || Date.now() / 1000;
    if (fleet.uplink_history?.length && this.#samples.length < fleet.uplink_history.length) {
      this.#samples = fleet.uplink_history.map(([time, value]) => [time, value]);
    }
    const last = this.#samples.at(-1);
    if (!last || at - last[0] >= 0.5) this.#samples.push([at, fleet.uplink_bytes_per_s || 0]);
    while (this.#samples.length > 2 && this.#samples[0][0] < at - SPAN_S) this.#samples.shift();
    this.#limit = fleet.uplink_limit_bytes_per_s || 0;
    this.#draw(at, fleet.uplink_bytes_per_s || 0);
  }

  #draw(now, value) {
    const most = Math.max(this.#limit * 1.08, ...this.#samples.map(([, each]) => each), 1);
    const span = Math.max(60, Math.min(SPAN_S, now - this.#samples[0][0]));
    const x = (time) => (WIDTH * (1 - (now - time) / span)).toFixed(1);
    const y = (each) => (HEIGHT - 2 - ((HEIGHT - 6) * each) / most).toFixed(1);
    const points = this.#samples.map(([time, each]) => `${x(time)},${y(each)}`).join("L");
    this.#line.setAttribute("d", `M${points}`);
    this.#area.setAttribute("d", `M${x(this.#samples[0][0])},${HEIGHT}L${points}L${x(now)},${HEIGHT}Z`);
    for (const end of ["y1", "y2"]) this.#bound.setAttribute(end, y(this.#limit));
    this.#bound.style.display = this.#limit ? "" : "none";
    const share = this.#limit ? `${Math.round((100 * value) / this.#limit)} % of ${rate(this.#limit)}` : "";
    say(byId("uplink-now"), rate(value));
    say(byId("uplink-share"), share);
    say(byId("uplink-from"), `${duration(span)} ago`);
    const peak = Math.max(...this.#samples.map(([, each]) => each));
    byId("uplink").setAttribute("aria-label", `Uplink: ${rate(value)} now, ${share}; at most ${rate(peak)} in the last ${duration(span)}`);
  }
}
