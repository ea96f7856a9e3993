// Gives the GPU's memory of a buffer back as soon as the engine has dropped it.
//
// In a browser wgpu leaves that to the garbage collector, which knows nothing of the GPU's memory: what one phase has freed is still taken
// while the next allocates, and the memory plan does not hold.
//
// wasm-bindgen keeps every object of JavaScript's that Rust has in one table. A buffer that is not in it any more is out of the
// engine's reach for good, and nothing else here keeps one. Work that was submitted may still use it: WebGPU frees its memory after
// that. Work that is recorded and not submitted may use it, too, and would be refused: while there is such work nothing is freed.

/** Bytes that are made between one look through the table and the next: by as many what is taken may exceed the most that the engine held.
 * A look takes a fraction of a millisecond (benches/README.md), and there is none while nothing is made. */
const OFTEN = 8 * 2 ** 20;

/** Watches this thread's buffers. `table` gives that of wasm-bindgen, once there is one. Gives what looks at once, for when a piece of work has
 * ended and nothing more may be made. */
export function giveBuffersBack(table) {
  if (!globalThis.GPUDevice) return () => {};
  const [device, encoder, queue] = [GPUDevice.prototype, GPUCommandEncoder.prototype, GPUQueue.prototype];
  const buffers = new Set();
  /** Encoders and command buffers with work that is not submitted. */
  const recorded = new Set();
  let made = 0;

  function look(more = 0) {
    const held = table();
    if (made + more < OFTEN || recorded.size > 0 || !held) return;
    made = 0;
    const dropped = new Set(buffers);
    for (let i = 0; i < held.length; i++) dropped.delete(held.get(i));
    for (const buffer of dropped) {
      buffers.delete(buffer);
      buffer.destroy();
    }
  }

  const { createBuffer } = device;
  device.createBuffer = function (what) {
    look(what.size);
    const buffer = createBuffer.call(this, what);
    buffers.add(buffer);
    made += what.size;
    return buffer;
  };

  // Whatever is asked of an encoder may use a buffer, but for its end.
  const { finish } = encoder;
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(encoder))) {
    if (typeof value !== "function" || name === "constructor") continue;
    encoder[name] = function (...how) {
      recorded.add(this);
      return value.apply(this, how);
    };
  }
  encoder.finish = function (...how) {
    const commands = finish.apply(this, how);
    if (recorded.delete(this)) recorded.add(commands);
    return commands;
  };

  const { submit } = queue;
  queue.submit = function (commands) {
    submit.call(this, commands);
    for (const one of commands) recorded.delete(one);
    look();
  };

  return () => look(OFTEN);
}
