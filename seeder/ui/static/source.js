// Where the page's facts come from: server-sent events, and polling for as long as there are none.

const POLL_S = 2;
const CONNECT_S = 5;
const AGAIN_S = 5;
const SILENT_S = 20;

/** Return an API answer as a value; without the right to read it the page becomes the sign-in form. */
export async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", headers: { accept: "application/json" } });
  if (answer.status === 401 || answer.status === 403) {
    location.assign("login");
    throw new Error("not signed in");
  }
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  return answer.json();
}

/**
 * Follow the fleet: `onFleet(summary)`, `onNodes(nodes, gone, isWhole)`, and `onWay(way)` with "live", "polling" or "lost".
 *
 * After each connection all nodes are read once more, as changes in between were missed. Events that fall silent for
 * longer than the server's own beat are not believed: a poll finds out. While the page is hidden nothing is asked.
 */
export class Source {
  #handlers;
  #events = null;
  #pollTimer = 0;
  #againTimer = 0;
  #watchTimer = 0;
  #heard = 0;

  constructor(handlers) {
    this.#handlers = handlers;
  }

  start() {
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#stop() : this.#listen()));
    this.#listen();
  }

  #stop() {
    this.#events?.close();
    this.#events = null;
    for (const timer of [this.#pollTimer, this.#againTimer, this.#watchTimer]) clearTimeout(timer);
    this.#pollTimer = this.#againTimer = this.#watchTimer = 0;
  }

  #listen() {
    this.#stop();
    const events = new EventSource("../api/events");
    this.#events = events;
    const hear = (handle) => (event) => {
      this.#heard = performance.now();
      handle(JSON.parse(event.data));
    };
    events.addEventListener("fleet", hear((fleet) => this.#handlers.onFleet(fleet)));
    events.addEventListener("nodes", hear((told) => this.#handlers.onNodes(told.nodes, told.gone ?? [], false)));
    events.addEventListener("open", () => {
      this.#heard = performance.now();
      this.#endPolling();
      this.#readAll("live");
      this.#watch();
    });
    events.addEventListener("error", () => this.#poll());
    this.#againTimer = setTimeout(() => events.readyState !== EventSource.OPEN && this.#poll(), CONNECT_S * 1000);
  }

  #watch() {
    clearTimeout(this.#watchTimer);
    this.#watchTimer = setTimeout(async () => {
      if (performance.now() - this.#heard > SILENT_S * 1000) await this.#readAll("live");
      if (this.#events?.readyState === EventSource.OPEN) this.#watch();
    }, SILENT_S * 1000);
  }

  #endPolling() {
    clearTimeout(this.#pollTimer);
    clearTimeout(this.#againTimer);
    this.#pollTimer = this.#againTimer = 0;
  }

  /** Poll until events are there again, which is tried every AGAIN_S seconds. */
  #poll() {
    if (this.#pollTimer || document.hidden) return;
    this.#events?.close();
    clearTimeout(this.#againTimer);
    const beat = async () => {
      await this.#readAll("polling");
      if (this.#pollTimer) this.#pollTimer = setTimeout(beat, POLL_S * 1000);
    };
    this.#pollTimer = setTimeout(beat, 0);
    this.#againTimer = setTimeout(() => this.#retry(), AGAIN_S * 1000);
  }

  /** Try events while polling goes on. */
  #retry() {
    const trial = new EventSource("../api/events");
    trial.addEventListener("open", () => {
      trial.close();
      this.#listen();
    });
    trial.addEventListener("error", () => {
      trial.close();
      this.#againTimer = setTimeout(() => this.#retry(), AGAIN_S * 1000);
    });
  }

  async #readAll(way) {
    try {
      const [fleet, nodes] = await Promise.all([ask("../api/fleet"), ask("../api/nodes")]);
      this.#handlers.onFleet(fleet);
      this.#handlers.onNodes(nodes.nodes, [], true);
      this.#handlers.onWay(way);
    } catch (error) {
      this.#handlers.onWay("lost", String(error.message ?? error));
    }
  }
}
