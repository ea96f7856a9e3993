// What the page remembers between visits besides files. Where the browser keeps nothing (blocked cookies), or what it kept is torn, it is as if
// nothing had been.

/** `where` is `"sessionStorage"` for what only this tab remembers. */
export function recall(key, where = "localStorage") {
  try {
    return JSON.parse(window[where].getItem(key)) ?? undefined;
  } catch {
    return undefined;
  }
}

export function keep(key, value, where = "localStorage") {
  try {
    window[where].setItem(key, JSON.stringify(value));
  } catch {
    // Then the next visit begins afresh.
  }
}
