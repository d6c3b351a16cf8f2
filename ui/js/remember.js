// @ts-check
// What the page remembers between visits: choices of the view, never data. The program keeps them, since each start has
// an address of its own, and with it a browser's storage of its own. Forgetting is fine, failing is not.

/** @type {Record<string, unknown>} */
let remembered = {};
/** @type {(name: string, value: unknown) => void} */
let tell = () => {};

/**
 * @param {Record<string, unknown>} values   what the program remembers
 * @param {(name: string, value: unknown) => void} send   has the program remember more
 */
export function startRemembering(values, send) {
  remembered = { ...values };
  tell = send;
}

/**
 * @template T
 * @param {string} name
 * @param {T} fallback
 * @returns {T}
 */
export function recall(name, fallback) {
  const value = remembered[name];
  return typeof value === typeof fallback ? /** @type {T} */ (value) : fallback;
}

/**
 * @param {string} name
 * @param {unknown} value
 */
export function remember(name, value) {
  if (remembered[name] === value) return;
  remembered[name] = value;
  tell(name, value);
}
