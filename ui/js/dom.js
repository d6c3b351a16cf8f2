// @ts-check
// The few lines of DOM work that every panel needs. Text only ever enters the page as text: nothing here parses HTML.

/**
 * The element with this id, which index.html must have.
 * @param {string} id
 * @returns {any}
 */
export function $(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return element;
}

/**
 * A new element.
 * @param {string} tag
 * @param {Record<string, any>} [props]   properties; data-* and aria-* and role as attributes; undefined = left out
 * @param {...(Node | string | null | undefined)} children
 * @returns {any}
 */
export function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined) continue;
    if (/^(data-|aria-|role$|style$|for$)/.test(name)) element.setAttribute(name, String(value));
    else /** @type {any} */ (element)[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/**
 * One of the drawings in index.html's symbol sheet.
 * @param {string} name
 */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#icon-${name}`);
  svg.append(use);
  return svg;
}

/**
 * Changes a text only when it differs, so that nothing is laid out again for nothing.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Puts new children into a part of the page; what had the focus there has it again, found by its id or data-*.
 * @param {Element} home
 * @param {...(Node | string)} children
 */
export function refill(home, ...children) {
  const focused = /** @type {HTMLElement | null} */ (home.contains(document.activeElement) && document.activeElement);
  home.replaceChildren(...children);
  if (!focused || focused.isConnected) return;
  const [name, value] = focused.id ? ['id', focused.id] : dataOf(focused);
  const same = name && home.querySelector(`[${name}="${CSS.escape(value)}"]`);
  /** @type {HTMLElement | null} */ (same || home.closest('[tabindex]'))?.focus({ preventScroll: true });
}

/** @param {HTMLElement} element */
function dataOf(element) {
  const found = [...element.attributes].find(({ name }) => name.startsWith('data-'));
  return found ? [found.name, found.value] : ['', ''];
}

/**
 * A button that copies a text and says so.
 * @param {string} text
 * @param {string} [name]
 */
export function copying(text, name = 'Copy the report') {
  const button = el('button', { type: 'button', className: 'plain' }, name);
  button.addEventListener('click', async () => {
    setText(button, (await copy(text)) ? 'Copied' : 'Not copied: the clipboard is closed to this page');
  });
  return button;
}

/** Puts a text on the clipboard; tells whether that worked. @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Some web views have no clipboard for pages, but copy what is selected.
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const box = el('textarea', { value: text, className: 'visually-hidden' });
    document.body.append(box);
    box.select();
    const copied = document.execCommand('copy');
    box.remove();
    focused?.focus();
    return copied;
  }
}

/**
 * Gives a dialog its heading with a button that closes it, and closes it at a click beside it.
 * @param {HTMLDialogElement} dialog   aria-labelledby names the heading
 * @param {string | HTMLElement} title   the heading, or its text
 * @param {...(Node | string | null)} children
 */
export function fillDialog(dialog, title, ...children) {
  const heading = typeof title === 'string' ? el('h2', {}, title) : title;
  heading.id = dialog.getAttribute('aria-labelledby') ?? '';
  const close = el(
    'button',
    { type: 'button', className: 'quiet', 'aria-label': 'Close', title: 'Close', onclick: () => dialog.close() },
    icon('close'),
  );
  dialog.replaceChildren(el('header', {}, heading, close), ...children.filter((child) => child !== null));
  dialog.onclick = (event) => {
    if (event.target === dialog) dialog.close(); // and gives nothing: false would undo the click
  };
}

/** Whether the user asked the system, or this program, for less motion. */
export const calm = () =>
  document.documentElement.dataset.motion === 'less' || matchMedia('(prefers-reduced-motion: reduce)').matches;
