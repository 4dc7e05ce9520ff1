// What the page remembers of itself. A browser that keeps nothing asks anew each time.

export function get(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null;
  }
}

export function set(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // Then it is not remembered.
  }
}
