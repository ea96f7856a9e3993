// The browser's storage, as the page itself reads and writes it: in the folder that the engine's own `Storage` keeps small files in
// (src/web/storage.rs).

/** A folder in it, which is made where there is none. */
export const folder = (...path) => ["kept", ...path].reduce(async (above, name) => (await above).getDirectoryHandle(name, { create: true }), navigator.storage.getDirectory());

/** Writes a file in a folder, whole or not at all. */
export async function put(here, name, content) {
  const file = await (await here.getFileHandle(name, { create: true })).createWritable();
  try {
    await file.write(content);
    await file.close();
  } catch (error) {
    await file.abort?.().catch(() => {});
    throw error;
  }
}

/** Removes a file or a folder, if it is there. */
export const remove = (here, name) => here.removeEntry(name, { recursive: true }).catch((error) => {
  if (error.name !== "NotFoundError") throw error;
});
