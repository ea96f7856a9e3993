// Captions that the engine makes from the pictures that have none, with the model: to be looked at and changed.

import { $ } from "../base/dom.js";
import { announce, ask, say, studio, using } from "../base/studio.js";
import { t } from "../base/text.js";
import { withModel } from "../models/models.js";
import { fitted, settings } from "./form.js";

let running;

const tell = (text) => {
  $("caption-note").hidden = false;
  say("caption-note", text);
};

async function suggest(tiles) {
  const bare = tiles.pictures.filter(({ caption }) => !caption);
  await withModel({ report: tell });
  tell(t("learn.preparing"));
  const config = await fitted({ ...settings(), "preview-every": 0 });
  const job = await ask("describe", { config, pictures: await tiles.read(bare) });
  let [at, made] = [0, 0];
  try {
    for await (const { event, caption, done, total } of studio.client.events(job)) {
      if (event === "describe") tell(`${t("learn.preparing")} ${done}/${total}`);
      if (event === "caption") {
        const picture = bare[at++];
        // What was written meanwhile stays.
        if (caption && !picture.caption) {
          tiles.caption(picture, caption);
          made++;
        }
      }
      if (!running || at === bare.length) break;
    }
  } finally {
    if (studio.client) await ask("end", { job }).catch(() => {});
  }
  if (!running) return;
  say("suggested-captions", t("learn.suggested", { made, of: bare.length }));
  announce($("suggested-captions").textContent);
}

/** Makes the button work that asks for captions. */
export function suggestions(tiles) {
  const button = $("suggest");
  button.addEventListener("click", async () => {
    // Pressed again, it ends.
    if (running) return (running = false);
    running = true;
    say("suggested-captions");
    say("suggest", t("make.dontWait"));
    await using("learn-problem", () => suggest(tiles), { long: true });
    running = false;
    say("suggest", t("learn.suggest"));
    return tiles.settle();
  });
}
