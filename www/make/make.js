// Card 4: prompts become pictures, side by side with and without the learned embeddings.

import { button, pictureItem } from "./pictures.js";
import { $, add, announce, ask, call, fileStem, number, onChange, png, save, say, studio, using } from "./studio.js";

let stopped = false;

/** One picture, a PNG; nothing if it was stopped. */
async function make(prompt, config) {
  const job = await ask("generate", { prompt, config });
  try {
    for await (const event of studio.client.events(job)) {
      if (event.event === "denoise") say("make-status", `${prompt}: step ${event.step} of ${event.of}`);
      if (event.event === "warning") add("make-problem", event.text);
      if (stopped) return undefined;
    }
    return (await ask("job.pictures", { job }))[0];
  } finally {
    if (studio.client) await ask("end", { job }).catch(() => {});
  }
}

/** The seed of the noise: -1 draws one of those that other programs draw from. */
function seed() {
  const typed = number("make-seed");
  return typed === -1 ? crypto.getRandomValues(new Uint32Array(1))[0] : typed;
}

async function generate() {
  const prompt = $("prompt").value.trim();
  const side = number("make-side");
  const config = {
    ...(side && { width: side, height: side }),
    "negative-prompt": $("negative").value.trim(), steps: number("make-steps"), guidance: number("guidance"),
    seed: seed(), sampler: $("sampler").value,
  };
  const without = $("compare").checked ? await call("engine.without", prompt) : undefined;
  const prompts = without === undefined ? [prompt] : [prompt, without];
  stopped = false;
  $("make-stop").hidden = false;
  const items = [];
  try {
    for (const text of prompts) {
      const bytes = await make(text, config);
      if (!bytes) break;
      const name = `${fileStem(text.slice(0, 40))}-${config.seed}.png`;
      items.push(pictureItem(png(bytes), text, `${text} [seed ${config.seed}] `, button("Save", () => save(bytes, name), `Save ${text}`)));
    }
  } finally {
    $("make-stop").hidden = true;
    $("gallery").prepend(...items);
    say("make-status", stopped ? "Stopped." : "");
  }
  announce(stopped ? "Stopped." : "The pictures are ready.");
}

/** Makes the card work. */
export function makeCard() {
  $("make").addEventListener("submit", (event) => {
    event.preventDefault();
    using("make-problem", generate, { long: true });
  });
  $("make-stop").addEventListener("click", () => (stopped = true));
  onChange(() => ($("generate").disabled = !studio.model || studio.busy));
}
