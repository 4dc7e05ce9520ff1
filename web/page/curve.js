// The curves of a run: points `[step, mean]` of so many steps each. However long a run is, its curves stay short enough to be
// drawn many times a second and kept every few.

/** Steps that a point is the mean of, at first: results are read back no more often. */
export const EVERY = 5;
/** Where curves have so many points, each two become one. */
const MOST = 2000;

/** Adds what the steps up to `step` came to. Fewer of them than a point is made of wait for those after them. */
export function add(run, step, loss, accuracy) {
  const part = run.part ?? { count: 0, loss: 0, accuracy: 0 };
  const count = step - run.step;
  const sum = { count: part.count + count, loss: part.loss + count * loss, accuracy: part.accuracy + count * accuracy };
  // Runs of former versions have none.
  run.every ??= EVERY;
  run.step = step;
  run.part = sum;
  if (sum.count < run.every) return;
  end(run);
  if (run.losses.length < MOST) return;
  run.every *= 2;
  run.losses = halved(run.losses);
  run.accuracies = halved(run.accuracies);
}

/** Makes a point of the steps that wait: no more will come. */
export function end(run) {
  if (!run.part) return;
  const { count, loss, accuracy } = run.part;
  run.losses.push([run.step, loss / count]);
  run.accuracies.push([run.step, accuracy / count]);
  run.part = null;
}

function halved(points) {
  return Array.from({ length: Math.floor(points.length / 2) }, (_, i) => {
    const [[, former], [step, latter]] = points.slice(2 * i, 2 * i + 2);
    return [step, (former + latter) / 2];
  });
}
