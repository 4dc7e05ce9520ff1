// One browser for the tests of a file.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { launch, open, serve } from "./browser.js";

/** Serves the page and opens a browser before the tests of a file; afterwards nothing may have gone wrong in it. */
export function fixture({ device, ...options } = {}) {
  const held = { faults: [] };
  before(async () => {
    held.server = await serve();
    Object.assign(held, await launch(options));
  });
  after(async () => {
    await held.close?.();
    held.server?.stop();
    assert.deepEqual(held.faults, []);
  });
  /** A new page; `expected` tells of faults that a test asks for. */
  held.page = async (expected = () => false) => {
    const { page, faults } = await open(held.context, held.server.url, device);
    faults.push = (fault) => (expected(fault) ? 0 : held.faults.push(fault));
    return page;
  };
  return held;
}
