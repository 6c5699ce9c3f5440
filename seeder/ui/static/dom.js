// Elements from text. What nodes say of themselves comes through here: as text, never as markup.

/** Return a new element; `has` are properties (`className`, `textContent`, `hidden`), attributes, and `data`. */
export function el(tag, has = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(has)) {
    if (name === "data") Object.assign(made.dataset, value);
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

/** Return a new SVG element with attributes. */
export function svg(tag, attributes = {}) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** Set an element's text if it is another: what is the same costs no layout. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Return the element with an id. */
export const byId = (id) => document.getElementById(id);

/** Give `parent` these children, keeping those that are there: elements with the same key are told anew, not made. */
export function renew(parent, items, keyOf, make, tell) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = old.get(key);
    old.delete(key);
    if (!child) {
      child = make(item);
      child.dataset.key = key;
    }
    tell?.(child, item);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  for (const child of old.values()) child.remove();
}
