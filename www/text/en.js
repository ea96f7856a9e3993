// Everything that the page says. A text is a string, or a function of what it is about.

export default {
  page: {
    tagline: "Teach Stable Diffusion a new word, on your own graphics card",
    language: "Language",
    theme: "Light or dark",
    promise: "Your pictures never leave this computer; no cookies, no trackers, and no network use except for what you ask for",
    check: "Check this browser",
    help: "Help",
  },
  time: {
    seconds: (n) => `${n} s`,
    minutes: (n) => `${n} min`,
    hours: (n) => `${n} h`,
  },
  engine: {
    busy: "The engine is busy: wait for it, or stop it.",
    gone: "The engine is not running.",
    again: "Start the engine again",
    broken: (reason) =>
      `The engine stopped: ${reason}. Often the graphics card was reset or ran out of memory: close other programs that use it, or set a smaller batch size. What was learned so far is saved; start the engine again to resume.`,
  },
  start: {
    title: "A word for what you cannot describe",
  },
  learn: {
    title: "Teach a new word",
  },
  make: {
    title: "Pictures",
  },
  words: {
    title: "Words",
  },
  models: {
    title: "Model",
  },
};
