// Words and numbers as a person reads them. Bytes, bytes per second and seconds come in.

/** Looks of a node in the order of a boot: a letter, and what it means; images fill a square instead. `failed`, `stuck` and `gone` may be any time. */
export const LOOKS = new Map([
  ["failed", { letter: "×", text: "failed" }],
  ["stuck", { letter: "!", text: "stuck" }],
  ["dhcp", { letter: "D", text: "starts its firmware" }],
  ["queue", { letter: "Q", text: "waits for stage 0" }],
  ["stage0", { letter: "0", text: "loads stage 0" }],
  ["kernel", { letter: "K", text: "kernel starts" }],
  ["leecher_start", { letter: "L", text: "leecher starts" }],
  ["manifest", { letter: "M", text: "reads the manifest" }],
  ["images", { letter: "", text: "fetches images" }],
  ["verification", { letter: "V", text: "verifies" }],
  ["hand_off", { letter: "H", text: "hands off" }],
  ["services", { letter: "S", text: "starts services" }],
  ["up", { letter: "", text: "up" }],
  ["gone", { letter: "–", text: "gone" }],
]);

/** Return what a phase is called in a sentence; a name that is not known stands for itself. */
export const phaseText = (name) => LOOKS.get(name)?.text ?? String(name).replaceAll("_", " ");

/** Return a phase's letter. */
export const phaseLetter = (name) => LOOKS.get(name)?.letter ?? String(name).slice(0, 1).toUpperCase();

const BYTE_UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];
const BIT_UNITS = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"];

function scaled(value, units) {
  let step = 0;
  while (value >= 999.5 && step < units.length - 1) {
    value /= 1000;
    step += 1;
  }
  const digits = step === 0 || value >= 99.5 ? 0 : value >= 9.95 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[step]}`;
}

/** Return a size, as in `130 MB`. */
export const bytes = (value) => scaled(Math.max(0, value || 0), BYTE_UNITS);

/** Return a rate in bits, as links are named: `900 Mbit/s`. */
export const rate = (bytesPerSecond) => scaled(Math.max(0, bytesPerSecond || 0) * 8, BIT_UNITS);

/** Return how long something took or takes, two units at most. */
export function duration(seconds) {
  const s = Math.max(0, seconds || 0);
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 90) return `${Math.round(s)} s`;
  const minutes = Math.round(s / 60);
  if (s < 5400) return s < 600 ? `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s` : `${minutes} min`;
  const hours = Math.round(s / 3600);
  if (hours < 48) return s < 36000 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.round(s / 86400)} days`;
}

/** Return a count with its noun. */
export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });

/** Return the time of day of Unix seconds, in the reader's zone. */
export const clock = (unixSeconds) => CLOCK.format(unixSeconds * 1000);

/** Return the date and time of Unix seconds, in the reader's zone. */
export const day = (unixSeconds) => DAY.format(unixSeconds * 1000);
