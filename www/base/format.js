// Numbers, times and names for people.

import { t } from "./text.js";

/** A time in seconds. */
export function span(seconds) {
  if (seconds < 90) return t("time.seconds", Math.max(1, Math.round(seconds)));
  return seconds < 5400 ? t("time.minutes", Math.round(seconds / 60)) : t("time.hours", (seconds / 3600).toFixed(1));
}

/** A number of bytes: the rule of `base::bytes::size` in the engine, which runs in the Worker. */
export function size(bytes) {
  const megabytes = bytes / 1e6;
  if (megabytes < 1) return `${Math.ceil(bytes / 1000)} kB`;
  return megabytes < 999.5 ? `${megabytes.toFixed(megabytes < 9.95 ? 1 : 0)} MB` : `${(megabytes / 1000).toFixed(2)} GB`;
}

export const png = (bytes) => new Blob([bytes], { type: "image/png" });

/** A name for a file. */
export const fileStem = (text) => text.replace(/[^\p{L}\p{N}_-]/gu, "") || "word";
