// Dense lines: where many rows share a pixel, a column from their smallest to their largest value is all that a line would
// show, and is drawn many times faster.

const DENSE = 0.75; // groups a pixel from which on columns are drawn

/** Whether what is drawn of a panel has several rows a group, and nearly a group a pixel. */
export function isDense(plot, { rows, last }, [from, to]) {
  const rowsAGroup = (last - rows[0]) / rows.length;
  return rowsAGroup > 1 && (to - from) / rowsAGroup > DENSE * plot.over.clientWidth;
}

/** Draw columns; what is above the threshold (null: there is none) in the colour for it. */
export function drawColumns(plot, { rows, min, max }, threshold, colours) {
  const { ctx, bbox } = plot;
  const [x, y] = ["x", "y"].map((axis) => places(plot, axis));
  const limit = threshold === null ? -Infinity : y(threshold);
  const wide = devicePixelRatio;
  let [low, high] = [null, null];
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (let i = 0; i < rows.length; i++) {
    const at = x(rows[i]);
    const isSeen = at >= bbox.left - 2 && at <= bbox.left + bbox.width + 2;
    if (isSeen && max[i] !== null) {
      // from one column to the next there is no gap
      const top = y(low === null ? max[i] : Math.max(max[i], low));
      const bottom = Math.max(y(high === null ? min[i] : Math.min(min[i], high)), top + 1.25 * wide);
      if (bottom > limit) rect(ctx, colours.line, at, Math.max(top, limit), bottom, wide);
      if (top < limit) rect(ctx, colours.over, at, top, Math.min(bottom, limit), wide);
    }
    [low, high] = [min[i], max[i]];
  }
  ctx.restore();
}

function rect(ctx, colour, left, top, bottom, wide) {
  if (ctx.fillStyle !== colour) ctx.fillStyle = colour;
  ctx.fillRect(Math.round(left), top, wide, bottom - top);
}

/** Value to pixel: both axes are linear, so two places tell all. */
function places(plot, axis) {
  const { min, max } = plot.scales[axis];
  const start = plot.valToPos(min, axis, true);
  const slope = (plot.valToPos(max, axis, true) - start) / (max - min || 1);
  return (value) => start + (value - min) * slope;
}
