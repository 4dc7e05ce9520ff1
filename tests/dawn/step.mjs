// node step.mjs FOLDER…: runs each training step that `--example shaders -- --step` wrote, and compares all that is left
// behind by it with what the CPU reference left.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { open, pipeline, usesSubgroups } from './device.mjs';

// The error of a tensor may be this part of what the step changed in it, both as Euclidean norms. Rounding makes it
// 1e-5; a step that did nothing would be at 1, and one wrong element of a million at 1e-3.
const TOLERANCE = 1e-4;

const { device, errors, lanes, name } = await open();
console.log(`Dawn on ${name}`);
const ran = new Set();
let failed = 0;
for (const folder of process.argv.slice(2)) failed += await check(folder);
for (const message of errors) console.log(message);
for (const kernel of ran) console.log(`  ran   ${kernel}`);
console.log(`${ran.size} kernels ran`);
process.exit(failed || errors.length ? 1 : 0);

async function check(folder) {
  const step = JSON.parse(readFileSync(join(folder, 'step.json'), 'utf8'));
  const file = readFileSync(join(folder, 'step.bin'));
  const part = ([start, length]) => file.subarray(start, start + length);
  const floats = (range) => new Float32Array(Uint8Array.from(part(range)).buffer);

  // The number of lanes that ours were made for.
  if (lanes < 8 && step.kernels.some(({ wgsl }) => usesSubgroups(wgsl))) {
    console.log(`${step.name}: left out, subgroups have ${lanes} lanes here`);
    return 0;
  }
  const kernels = [];
  for (const kernel of step.kernels) {
    kernels.push(await pipeline(device, kernel));
    ran.add(kernel.name);
  }
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const slots = step.slots.map((size) => device.createBuffer({ size, usage }));
  for (const { slot, offset, data } of step.writes) device.queue.writeBuffer(slots[slot], offset, part(data));
  run(step, kernels, slots);

  let failures = 0, worst = 0, loss;
  for (const { name, slot, offset, before, data } of step.results) {
    const want = floats(data);
    const was = before ? floats(before) : new Float32Array(want.length);
    const got = await read(slots[slot], offset, want.byteLength);
    const change = distance(want, was), error = distance(got, want);
    const part = error === 0 ? 0 : error / change;
    worst = Math.max(worst, part);
    if (!(part <= TOLERANCE)) {
      failures += 1;
      console.log(`  FAIL  ${name}: the error is ${part} of what the step changes`);
    }
    if (name === 'metrics') loss = `loss ${(got[0] / got[2]).toFixed(6)} for ${(want[0] / want[2]).toFixed(6)}`;
  }
  const { dispatches, results } = step;
  const verdict = failures ? `${failures} of ${results.length} tensors differ` : `${results.length} tensors agree`;
  console.log(`${step.name}: ${dispatches.length} dispatches, ${loss}, ${verdict}, largest error ${worst.toExponential(1)}`);
  return failures;
}

function run(step, kernels, slots) {
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const { kernel, uniform, bindings, workgroups } of step.dispatches) {
    const words = Uint32Array.from(uniform);
    const size = words.byteLength;
    const buffer = device.createBuffer({ size, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
    device.queue.writeBuffer(buffer, 0, words);
    const storage = bindings.map(([slot, offset, size]) => ({ buffer: slots[slot], offset, size }));
    const { pipeline, layout } = kernels[kernel];
    const entries = [{ buffer, size }, ...storage].map((resource, binding) => ({ binding, resource }));
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
    pass.dispatchWorkgroups(...workgroups);
  }
  pass.end();
  device.queue.submit([encoder.finish()]);
}

async function read(source, offset, size) {
  const buffer = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(source, offset, buffer, 0, size);
  device.queue.submit([encoder.finish()]);
  await buffer.mapAsync(GPUMapMode.READ);
  return new Float32Array(buffer.getMappedRange().slice(0));
}

function distance(a, b) {
  return Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]) ** 2, 0));
}
