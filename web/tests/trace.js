// What Chromium's own clock says of the tasks of a page's thread: pages hear of none below 50 ms.

/** Begins to trace the tasks of a page; `stop` gives the events. */
export async function startTrace(page) {
  const client = await page.context().newCDPSession(page);
  const events = [];
  client.on("Tracing.dataCollected", ({ value }) => events.push(...value));
  await client.send("Tracing.start", { transferMode: "ReportEvents", traceConfig: { includedCategories: ["toplevel", "disabled-by-default-devtools.timeline", "devtools.timeline"] } });
  return {
    stop: async () => {
      const complete = new Promise((resolve) => { client.once("Tracing.tracingComplete", resolve); });
      await client.send("Tracing.end");
      await complete;
      await client.detach();
      return events;
    },
  };
}

/** The longest task of the thread that runs the page's scripts: milliseconds, and those of them that it had a core. */
export function longestTask(events) {
  const main = events.find(({ name, args }) => name === "FunctionCall" && /main\.js|train\.js/.test(args?.data?.url ?? ""));
  const ofPage = events.filter(({ pid, tid }) => pid === main?.pid && tid === main?.tid);
  // What the driver of the test evaluates is no work of the page's.
  const driven = ofPage.filter(({ name }) => name === "EvaluateScript");
  const within = (outer, inner) => outer.ts <= inner.ts && inner.ts <= outer.ts + outer.dur;
  const tasks = ofPage.filter((task) => task.name === "RunTask" && !driven.some((one) => within(task, one)));
  if (!tasks.length) throw new Error("the trace has no task of the page");
  const { dur, tdur } = tasks.reduce((most, task) => (task.dur > most.dur ? task : most));
  return { wall: dur / 1000, cpu: tdur / 1000 };
}
