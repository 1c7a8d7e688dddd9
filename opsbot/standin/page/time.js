// Times as Discord writes them, in the reader's own locale and zone. Relative ones age by themselves.

import { h } from "./dom.js";

const format = (options) => new Intl.DateTimeFormat(undefined, options);
const FORMATS = {
  t: format({ timeStyle: "short" }),
  T: format({ timeStyle: "medium" }),
  d: format({ day: "2-digit", month: "2-digit", year: "numeric" }),
  D: format({ dateStyle: "long" }),
  f: format({ dateStyle: "long", timeStyle: "short" }),
  F: format({ dateStyle: "full", timeStyle: "short" }),
  s: format({ dateStyle: "short", timeStyle: "short" }),
  S: format({ dateStyle: "short", timeStyle: "medium" }),
};
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "always" });
const UNITS = [["year", 31_536_000], ["month", 2_592_000], ["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]];

export function relative(seconds, now = Date.now()) {
  const away = Math.trunc(seconds - now / 1000);
  for (const [unit, size] of UNITS) {
    if (Math.abs(away) >= size || unit === "second") return RELATIVE.format(Math.trunc(away / size) || (away < 0 ? -0 : 0), unit);
  }
  return "";
}

/** The words of `<t:SECONDS:STYLE>`, for where there is only text. */
export function shown(seconds, style) {
  return style === "R" ? relative(seconds) : FORMATS[style].format(new Date(seconds * 1000));
}

/** `<t:SECONDS:STYLE>`; null when no such moment exists. */
export function timestamp(seconds, style) {
  if (Number.isNaN(new Date(seconds * 1000).getTime())) return null;
  const full = FORMATS.F.format(new Date(seconds * 1000));
  return h("time", {
    class: "timestamp",
    datetime: new Date(seconds * 1000).toISOString(),
    tabindex: "0",
    "aria-label": style === "R" ? null : full,
    data: { tip: full, ...(style === "R" ? { relative: String(seconds) } : {}) },
  }, shown(seconds, style));
}

/** Keeps every relative time below `root` true, once a second. Returns a function that stops it. */
export function keepAgeing(root) {
  const timer = setInterval(() => {
    for (const node of root.querySelectorAll("time[data-relative]")) {
      const text = relative(Number(node.dataset.relative));
      if (node.textContent !== text) node.textContent = text;
    }
  }, 1000);
  return () => clearInterval(timer);
}

function daysAgo(date, now) {
  const midnight = (d) => new Date(d.getFullYear(), d.getMonth(), d.getDate()).getTime();
  return Math.round((midnight(now) - midnight(date)) / 86_400_000);
}

/** The time beside an author: "3:14 PM", "Yesterday at 3:14 PM", "11/24/26, 3:14 PM". */
export function messageTime(iso, now = new Date()) {
  const date = new Date(iso);
  const days = daysAgo(date, now);
  if (days === 0) return FORMATS.t.format(date);
  if (days === 1) return `Yesterday at ${FORMATS.t.format(date)}`;
  return FORMATS.s.format(date);
}

export const shortTime = (iso) => FORMATS.t.format(new Date(iso));
export const clockTime = (date) => FORMATS.T.format(date);
export const fullTime = (iso) => FORMATS.F.format(new Date(iso));
export const dayName = (iso) => FORMATS.D.format(new Date(iso));
