// The evaluation loss, as a curve and as a table of the same values.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, BOTTOM] = [600, 180, 52, 24];

function shape(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Draws `points` `[{step, loss}]` into an element; `steps` is the end of the axis. */
export function drawCurve(place, points, steps) {
  if (points.length === 0) return place.replaceChildren();
  const losses = points.map(({ loss }) => loss);
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const span = high - low || high || 1;
  const x = (step) => LEFT + ((WIDTH - LEFT - 8) * step) / Math.max(steps, 1);
  const y = (loss) => 10 + ((HEIGHT - BOTTOM - 16) * (high - loss)) / span;
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": "Evaluation loss over the steps" });
  for (const loss of [high, low]) {
    svg.append(
      shape("line", { x1: LEFT, x2: WIDTH - 8, y1: y(loss), y2: y(loss), class: "grid" }),
      shape("text", { x: LEFT - 6, y: y(loss) + 4, "text-anchor": "end" }, loss.toFixed(4)),
    );
  }
  svg.append(
    shape("polyline", { points: points.map(({ step, loss }) => `${x(step)},${y(loss)}`).join(" ") }),
    ...points.map(({ step, loss }) => shape("circle", { cx: x(step), cy: y(loss), r: 3 })),
    shape("text", { x: LEFT, y: HEIGHT - 4 }, "step 0"),
    shape("text", { x: WIDTH - 8, y: HEIGHT - 4, "text-anchor": "end" }, `${steps}`),
  );
  place.replaceChildren(svg, table(points));
}

function table(points) {
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = "The same as numbers";
  const body = document.createElement("table");
  const row = (cell, ...texts) => {
    const tr = document.createElement("tr");
    tr.append(...texts.map((text) => Object.assign(document.createElement(cell), { textContent: text })));
    return tr;
  };
  body.append(row("th", "step", "evaluation loss"), ...points.map(({ step, loss }) => row("td", step, loss.toFixed(5))));
  details.append(summary, body);
  return details;
}
