// @ts-check
// Text files that the user chose, as the program takes them from the page: all at once, and not more than it can.

import { CallError } from './bridge.js';

export const LARGEST = 15_000_000; // bytes of all files together

/**
 * The texts of these files. Throws CallError where they are too large.
 * @param {File[]} files
 * @param {string} command   of the terminal, which takes files of any size
 */
export async function textsOf(files, command) {
  if (files.reduce((sum, file) => sum + file.size, 0) > LARGEST) {
    const message = `These files are larger than ${LARGEST / 1e6} MB together.`;
    throw new CallError({ kind: 'refused', message, hint: `\`${command}\` in a terminal takes files of any size.` });
  }
  return Promise.all(files.map((file) => file.text()));
}
