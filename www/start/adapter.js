// A Worker that only asks the browser for its GPU: whether one is offered where the engine runs is known before the engine is fetched.

import { told } from "./gpu.js";

/** What the engine asks of an adapter: WebGPU's guaranteed limits, as src/gpu/mod.rs has them. */
const LIMITS = {
  maxStorageBufferBindingSize: 128 * 2 ** 20, maxBufferSize: 256 * 2 ** 20, maxStorageBuffersPerShaderStage: 8,
  maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupSizeX: 256, maxComputeWorkgroupStorageSize: 16384, maxComputeWorkgroupsPerDimension: 65535,
};

/** `{gpu: false}`, `{gpu, adapter: false}`, or what the adapter is and lacks. */
async function asked() {
  if (!self.navigator.gpu) return { gpu: false };
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) return { gpu: true, adapter: false };
  const low = Object.entries(LIMITS).filter(([name, least]) => adapter.limits[name] < least).map(([name, least]) => `${name} ${adapter.limits[name]} (${least})`);
  return {
    gpu: true, adapter: true, ...told(adapter), lacks: low,
    halves: adapter.features.has("shader-f16"), largest: adapter.limits.maxBufferSize,
  };
}

asked().then((answer) => self.postMessage(answer), (error) => self.postMessage({ gpu: true, adapter: false, error: error.message }));
