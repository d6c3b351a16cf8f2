// @ts-check
// A fault of the page itself: told with its report to copy, and logged by the program. The page goes on as well as it can.

import { $, copying, el, icon } from '../dom.js';

/** @import { Actions } from '../actions.js' */

const A_VISIT = 5; // faults that are reported: one that repeats itself says nothing new

/** @param {Actions} actions */
export function startFaults(actions) {
  const notice = $('fault');
  let told = 0;

  /** @param {unknown} error */
  function tell(error) {
    if (told++ >= A_VISIT) return;
    const text = `${error instanceof Error ? (error.stack ?? error) : error}\n${navigator.userAgent}`;
    void actions.report(text);
    notice.hidden = false;
    notice.replaceChildren(
      el('span', { className: 'message' }, 'Something in the page failed.'),
      el('span', { className: 'hint' }, `${error}. Reload the page if it does not go on.`),
      copying(text),
      el(
        'button',
        {
          type: 'button',
          className: 'quiet close',
          'aria-label': 'Dismiss the fault',
          onclick: () => (notice.hidden = true),
        },
        icon('close'),
      ),
    );
  }

  window.addEventListener('error', (event) => tell(event.error ?? event.message));
  window.addEventListener('unhandledrejection', (event) => tell(event.reason));
}
