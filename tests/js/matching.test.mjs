import assert from 'node:assert/strict';
import test from 'node:test';
import { matching } from '../../ui/js/matching.js';

const NAMES = ['Run the prompt', 'Write a prompt', 'Previous token', 'Unmute all features', 'Mute this feature'];
const found = (query) => matching(NAMES, query, (name) => name);

test('every word must be there, in any order and case', () => {
  assert.deepEqual(found('PROMPT run'), ['Run the prompt']);
  assert.deepEqual(found('prompt token'), []);
});

test('a beginning comes before a word, a word before a part of one', () => {
  assert.deepEqual(found('mute'), ['Mute this feature', 'Unmute all features']);
  assert.deepEqual(found('pr'), ['Previous token', 'Run the prompt', 'Write a prompt']);
});

test('nothing asked finds all, in their order', () => assert.deepEqual(found('  '), NAMES));
test('a query is text, not a pattern', () => assert.deepEqual(found('.*'), []));
