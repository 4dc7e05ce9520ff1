// A device of Dawn's, with WebGPU's default limits, and pipelines with the layout that nin-wgpu gives them.

import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);

// Dawn ends with this object, so it must not be collected.
let gpu;

// Dawn's device; `errors` gathers all that it complains of outside of error scopes.
export async function open() {
  gpu = create(['backend=vulkan']);
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error('Dawn finds no Vulkan driver: install one, or name one in VK_DRIVER_FILES');
  const lanes = adapter.features.has('subgroups') ? adapter.info.subgroupMinSize : 0;
  const device = await adapter.requestDevice({ requiredFeatures: lanes ? ['subgroups'] : [] });
  const errors = [];
  device.addEventListener('uncapturederror', (event) => errors.push(event.error.message));
  const { device: name, description, vendor } = adapter.info;
  return { device, errors, lanes, name: [name || vendor, description].filter(Boolean).join(', ') };
}

export const usesSubgroups = (wgsl) => wgsl.includes('subgroup');

// Compiles WGSL as Tint does; `bindings` are the types of the buffers of group 0. Throws what Tint or Dawn complains of.
export async function pipeline(device, { name, wgsl, entry, bindings }) {
  device.pushErrorScope('validation');
  // naga refuses this line, Tint wants it.
  const code = usesSubgroups(wgsl) ? `enable subgroups;\n${wgsl}` : wgsl;
  const module = device.createShaderModule({ label: name, code });
  const { messages } = await module.getCompilationInfo();
  const layout = device.createBindGroupLayout({
    entries: bindings.map((type, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } })),
  });
  let made;
  try {
    made = await device.createComputePipelineAsync({
      label: name,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: entry },
    });
  } catch (error) {
    const scope = await device.popErrorScope();
    throw new Error([...messages.map(text), scope?.message ?? error.message].join('\n'));
  }
  const error = await device.popErrorScope();
  if (error || messages.length) throw new Error([...messages.map(text), error?.message ?? ''].join('\n'));
  return { pipeline: made, layout };
}

const text = ({ type, lineNum, linePos, message }) => `${lineNum}:${linePos} ${type}: ${message}`;
