// Runs, kept in the browser's own data base.

const NAME = "nin-wgpu";
const STORE = "runs";

let opened;

function open() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

async function act(mode, what) {
  const data = await open();
  return new Promise((resolve, reject) => {
    const transaction = data.transaction(STORE, mode);
    const request = what(transaction.objectStore(STORE));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

export const all = async () => (await act("readonly", (store) => store.getAll())).sort((a, b) => b.id - a.id);
export const put = (run) => act("readwrite", (store) => store.put(run));
export const remove = (id) => act("readwrite", (store) => store.delete(id));
