// @ts-check
// Finding something by a few letters of its words. Pure.

/**
 * The entries whose text holds every word of a query, best first: words that begin one of the text's words come before
 * those inside of one, and equals stay in their order. An empty query finds all.
 * @template T
 * @param {T[]} entries
 * @param {string} query
 * @param {(entry: T) => string} textOf
 * @returns {T[]}
 */
export function matching(entries, query, textOf) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return entries
    .map((entry) => ({ entry, score: scoreOf(textOf(entry).toLowerCase(), words) }))
    .filter(({ score }) => score >= 0)
    .sort((x, y) => y.score - x.score)
    .map(({ entry }) => entry);
}

/** How well a text holds the words; -1 = not all of them. @param {string} text @param {string[]} words */
function scoreOf(text, words) {
  let score = 0;
  for (const word of words) {
    const at = text.indexOf(word);
    if (at < 0) return -1;
    score += at === 0 ? 3 : text.includes(` ${word}`) ? 2 : 0;
  }
  return score;
}
