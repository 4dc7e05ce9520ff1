import assert from "node:assert/strict";
import { test } from "node:test";
import { add } from "../page/curve.js";

test("curves of any length stay short, and their points are means over whole intervals", () => {
  const run = { step: 0, losses: [], accuracies: [], part: null };
  // The loss of a step is its number, so the mean over steps a to b is that of a and b.
  for (let step = 1; step <= 100_000; step++) add(run, step, step, step / 100_000);
  assert.ok(run.losses.length > 500 && run.losses.length < 2000, `${run.losses.length} points`);
  assert.equal(run.losses.length, run.accuracies.length);
  run.losses.forEach(([step, loss], i) => {
    const before = i ? run.losses[i - 1][0] : 0;
    assert.equal(step - before, run.every);
    assert.equal(loss, (before + 1 + step) / 2);
    assert.ok(Math.abs(run.accuracies[i][1] - loss / 100_000) < 1e-12);
  });
});
