import assert from 'node:assert/strict';
import test from 'node:test';
import {
  aroundStrongest,
  isAutomatic,
  nameClass,
  offerSentence,
  restOfSet,
  setSentence,
  shortened,
  worthOf,
} from '../../ui/js/label-words.js';

const label = (changes) => ({
  text: 'rivers',
  origin: 'neuronpedia',
  method: 'oai_token-act-pair',
  explainer: 'gpt-4o-mini',
  score: null,
  score_name: '',
  details: {},
  ...changes,
});
const set = (changes) => ({
  sae: 'm/1',
  set: 'm/1',
  publisher: 'Neuronpedia',
  features: 24_576,
  labelled: 0,
  labels: 0,
  own: 0,
  automatic: 0,
  complete: false,
  fetched_at: null,
  ...changes,
});

test('only a label in the state "labelled" is a description', () => {
  assert.equal(isAutomatic('promotes “ Paris”', 'absent'), true);
  assert.equal(isAutomatic('promotes “ Paris”', 'pending'), true);
  assert.equal(isAutomatic('cities', 'labelled'), false);
  assert.equal(isAutomatic(null, 'pending'), false);
  assert.deepEqual(
    [nameClass(null, 'absent'), nameClass('a', 'absent'), nameClass('a', 'labelled')],
    ['unlabelled', 'automatic', ''],
  );
});

test('a label says how it was found, who wrote it, and its score or that it has none', () => {
  assert.deepEqual(worthOf(label()), ['oai_token-act-pair', 'written by gpt-4o-mini', 'no score']);
  assert.deepEqual(worthOf(label({ score: 0.712, score_name: 'recall alt', explainer: '' })), [
    'oai_token-act-pair',
    'recall alt 0.71',
  ]);
  assert.deepEqual(worthOf(label({ score: 0, method: '', explainer: '' })), ['score 0.00']);
  assert.deepEqual(worthOf(label({ origin: 'you', method: 'written by hand' })), ['your own']);
  assert.deepEqual(worthOf(label({ origin: 'automatic', method: 'promoted tokens' })), ['automatic: promoted tokens']);
});

test('what is here of a label set stands in one sentence', () => {
  assert.equal(
    setSentence(set({ labelled: 312 })),
    'Neuronpedia’s labels of this SAE are not all here: 312 of 24,576 features are named so far.',
  );
  assert.equal(
    setSentence(set({ publisher: null, features: 0 })),
    'The labels of this SAE are not all here: none so far.',
  );
  assert.match(
    setSentence(set({ labelled: 24_102, complete: true, fetched_at: '2025-11-25T10:00:00Z' })),
    /^24,102 of 24,576 features have a label here, fetched .*2025\.$/,
  );
  assert.equal(
    setSentence(set({ labelled: 5, complete: true, features: 0, fetched_at: 'nonsense' })),
    '5 features have a label here.',
  );
  assert.equal(setSentence(set({ set: null })), 'Nobody publishes labels of this SAE; automatic ones are made.');
  assert.equal(setSentence(set({ set: null, labelled: 1 })), '1 feature of 24,576 has a label here.');
  assert.equal(restOfSet(set({ own: 1, automatic: 14 })), '1 label of your own, 14 automatic names');
  assert.equal(restOfSet(set()), '');
});

test('an offer names its size, or that there is nothing to fetch', () => {
  const offer = { files: 48, bytes: 66_000_000, new_files: 48, new_bytes: 66_000_000 };
  assert.equal(offerSentence(offer), '48 files, 66 MB to download.');
  assert.equal(offerSentence({ ...offer, new_files: 3, new_bytes: 4_100_000 }), '3 of 48 files, 4.1 MB to download.');
  assert.equal(offerSentence({ ...offer, new_files: 0, new_bytes: 0 }), 'Everything is up to date.');
  assert.equal(offerSentence({ files: 0, bytes: 0, new_files: 0, new_bytes: 0 }), 'Nothing is published to download.');
});

test('a text is cut between characters', () => {
  assert.equal(shortened('rivers', 6), 'rivers');
  assert.equal(shortened('rivers and lakes', 7), 'rivers…');
  assert.equal(shortened('ab🌍cd', 4), 'ab…'); // not half a globe
});

test('the strongest token of a context is near the beginning of its line', () => {
  const tokens = ['The', ' capital', ' of', ' France', ' is', ' Paris', '.'];
  assert.deepEqual(aroundStrongest(tokens, [0, 0, 0, 0, 1, 9, 0], 10), { from: 3, at: 5, strongest: 9 });
  assert.deepEqual(aroundStrongest(tokens, [5, 0, 0, 0, 0, 0, 0], 10), { from: 0, at: 0, strongest: 5 });
  assert.deepEqual(aroundStrongest(tokens, [0, 0, 0, 0, 0, 0, 0], 10), { from: 0, at: 0, strongest: 0 });
  assert.deepEqual(aroundStrongest(['long '.repeat(40), 'x'], [0, 1], 10), { from: 1, at: 1, strongest: 1 });
  assert.deepEqual(aroundStrongest([], [], 10), { from: 0, at: 0, strongest: 0 });
});
