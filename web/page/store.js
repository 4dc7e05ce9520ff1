// Runs, kept in the browser's own data bases. What there is to tell of them lies in one, which the page reads whole; their networks
// in another, which the worker writes: so many bytes would hold up the page, even as it only hands them on.

function base(name) {
  let opened;
  const open = () => {
    opened ??= new Promise((resolve, reject) => {
      const request = indexedDB.open(name, 1);
      request.onupgradeneeded = () => request.result.createObjectStore("runs", { keyPath: "id" });
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    return opened;
  };
  return async (mode, what) => {
    const transaction = (await open()).transaction("runs", mode);
    return new Promise((resolve, reject) => {
      const request = what(transaction.objectStore("runs"));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  };
}

const runs = base("nin-wgpu");
const networks = base("nin-wgpu networks");

export const all = async () => (await runs("readonly", (store) => store.getAll())).sort((a, b) => b.id - a.id);
export const put = (run) => runs("readwrite", (store) => store.put(run));

/** The network of a run: `weights` to use, `saved` to go on from. */
export const network = (id) => networks("readonly", (store) => store.get(id));
export const putNetwork = (network) => networks("readwrite", (store) => store.put(network));

export async function remove(id) {
  await runs("readwrite", (store) => store.delete(id));
  await networks("readwrite", (store) => store.delete(id));
}
