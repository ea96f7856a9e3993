// Lets the engine run where the graphics adapter does not offer timestamp-query, as in Firefox.
//
// cubecl, which keeps the device for Burn, gives up in a browser whose adapter lacks it, before anything is measured; without it,
// it would have to wait while it measures. Nothing here measures (which tiles are fastest is only found out by native programs).
// So an adapter without it says that it has it, and the device is asked for without it, and has none.

const TIMESTAMPS = "timestamp-query";

/** Makes adapters say so, in this thread. */
export function doWithoutTimestamps() {
  const adapter = globalThis.GPUAdapter?.prototype;
  if (!adapter) return;
  const { get, ...rest } = Object.getOwnPropertyDescriptor(adapter, "features");
  const { requestDevice } = adapter;
  const offered = (one) => get.call(one).has(TIMESTAMPS);
  Object.defineProperty(adapter, "features", {
    ...rest,
    get() {
      return offered(this) ? get.call(this) : new Set([...get.call(this), TIMESTAMPS]);
    },
  });
  adapter.requestDevice = function (wanted = {}) {
    const requiredFeatures = [...(wanted.requiredFeatures ?? [])].filter((name) => name !== TIMESTAMPS || offered(this));
    return requestDevice.call(this, { ...wanted, requiredFeatures });
  };
}
