// Short words for the document.

export const $ = (id) => document.getElementById(id);

// With a space at which no line breaks.
export const percent = (part) => `${(100 * part).toFixed(1)}\u00a0%`;

export const milliseconds = (seconds) => `${(1000 * seconds).toPrecision(3)} ms`;

/** An element with properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Writes a status. What passes soon is not read out: screen readers wait while an element is busy. */
export function say(id, text, passes = false) {
  $(id).ariaBusy = String(passes);
  $(id).textContent = text;
}

/** Files of an input, which takes the same ones again later. */
export function onFiles(input, listener) {
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = "";
    if (files.length) listener(files);
  });
}

/** A message that stays until it is closed; `act` is offered with it. */
export function notice(text, label, act) {
  $("notice-text").textContent = text;
  $("notice").hidden = false;
  const button = $("notice-act");
  button.hidden = !act;
  button.textContent = label ?? "";
  button.onclick = () => {
    $("notice").hidden = true;
    act?.();
  };
}

export function closeNotice() {
  $("notice").hidden = true;
}
