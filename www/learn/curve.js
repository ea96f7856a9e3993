// The evaluation loss, as a curve and as a table of the same values.

import { h, shape } from "../base/dom.js";
import { decimal, t } from "../base/text.js";

const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [150, 48, 12, 12, 24];
/** Where the room that there is cannot be told. */
const USUAL = 560;

const words = (text, attributes) => shape("text", attributes, text);

/** What each place shows: it is drawn again where the room that there is has become another. */
const drawn = new WeakMap();
const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) if (target.firstChild && drawn.get(target).width !== target.clientWidth) drawCurve(target, ...drawn.get(target).what);
});

/** Draws `points` `[{step, loss}]` into an element; `steps` is the end of the axis. */
export function drawCurve(place, points, steps) {
  if (points.length === 0) return place.replaceChildren();
  // Drawn for the room that there is, so that its words are as large as others.
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
  const width = place.clientWidth / rem || USUAL;
  drawn.set(place, { width: place.clientWidth, what: [points, steps] });
  resized.observe(place);
  const losses = points.map(({ loss }) => loss);
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const span = high - low || high || 1;
  const x = (step) => LEFT + ((width - LEFT - RIGHT) * step) / Math.max(steps, 1);
  const y = (loss) => TOP + ((HEIGHT - BOTTOM - TOP - 6) * (high - loss)) / span;
  const line = points.map(({ step, loss }) => `${x(step)},${y(loss)}`).join(" ");
  const svg = shape("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": t("learn.curve") },
    ...(high === low ? [high] : [high, low]).flatMap((loss) => [
      shape("line", { x1: LEFT, x2: width - RIGHT, y1: y(loss), y2: y(loss), class: "grid" }),
      words(decimal(loss, 3), { x: LEFT - 8, y: y(loss) + 4, "text-anchor": "end" }),
    ]),
    shape("polygon", { points: `${x(points[0].step)},${HEIGHT - BOTTOM} ${line} ${x(points.at(-1).step)},${HEIGHT - BOTTOM}` }),
    shape("polyline", { points: line }),
    ...points.map(({ step, loss }) => shape("circle", { cx: x(step), cy: y(loss), r: 3 })),
    words("0", { x: LEFT, y: HEIGHT - 6 }),
    words(`${steps}`, { x: width - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }),
  );
  // What is pressed, and has the focus, stays: steps may come many times a second.
  const [, former, details] = place.children;
  former?.replaceWith(svg);
  details?.lastChild.replaceWith(table(points));
  if (!details) place.append(h("p", { class: "quiet" }, h("small", {}, t("learn.curveHow"))), svg, h("details", { class: "fold" }, h("summary", {}, t("learn.numbers")), table(points)));
}

function table(points) {
  const row = (cell, ...texts) => h("tr", {}, texts.map((text) => h(cell, cell === "th" ? { scope: "col" } : {}, `${text}`)));
  return h("table", {}, row("th", t("learn.numbersStep"), t("learn.numbersLoss")), points.map(({ step, loss }) => row("td", step, decimal(loss, 5))));
}
