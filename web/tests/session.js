// A worker that a test speaks to itself, to see numbers that the page rounds.

import { readFile } from "node:fs/promises";

/** A file as a command takes it. */
export const file = async (path) => ({ base64: (await readFile(path)).toString("base64") });

/** Bytes of an event. */
export const bytes = ({ base64 }) => Buffer.from(base64, "base64");

/** Starts a worker in the page; `ask` sends commands to it and gives its events. */
export async function session(page, { cpu = false } = {}) {
  await page.evaluate(async () => {
    const { Client } = await import("./client.js");
    const client = new Client();
    const isFile = (value) => typeof value?.base64 === "string";
    const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const base64 = (array) => {
      let text = "";
      for (let at = 0; at < array.length; at += 0x8000) text += String.fromCharCode(...array.subarray(at, at + 0x8000));
      return { base64: btoa(text) };
    };
    const map = (value, of) => {
      const made = of(value);
      if (made !== value || typeof value !== "object" || value === null) return made;
      if (Array.isArray(value)) return value.map((one) => map(one, of));
      return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, map(one, of)]));
    };
    const events = [];
    let hears = () => {};
    for (const kind of ["opened", "loaded", "classified", "dataReady", "folderProgress", "trainStarted", "metrics", "epoch", "paused",
      "saved", "trainEnded", "trainFailed", "examined", "checked", "error", "crashed"]) {
      client.on(kind, (event) => {
        events.push(map(event, (value) => (value instanceof Uint8Array ? base64(value) : value)));
        hears();
      });
    }
    window.session = {
      send: (kind, fields) => client.send(kind, map(fields, (value) => (isFile(value) ? bytes(value.base64) : value))),
      // All events up to the first of these kinds, that one last.
      until: async (kinds) => {
        for (;;) {
          const at = events.findIndex(({ kind }) => [...kinds, "error", "crashed", "trainFailed"].includes(kind));
          if (at >= 0) return events.splice(0, at + 1);
          await new Promise((resolve) => { hears = resolve; });
        }
      },
    };
  });
  const send = (kind, fields = {}) => page.evaluate(([kind, fields]) => window.session.send(kind, fields), [kind, fields]);
  const until = (...kinds) => page.evaluate((kinds) => window.session.until(kinds), kinds);
  const ask = async (kind, fields, ...kinds) => {
    await send(kind, fields);
    return (await until(...kinds)).at(-1);
  };
  const opened = await ask("open", { cpu }, "opened");
  return { send, until, ask, opened };
}
