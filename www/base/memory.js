// What the page remembers between visits besides files. Where the browser keeps nothing (blocked cookies), or what it kept is torn, it is as if
// nothing had been.

export function recall(key) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? undefined;
  } catch {
    return undefined;
  }
}

export function keep(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Then the next visit begins afresh.
  }
}
