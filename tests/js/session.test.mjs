import assert from 'node:assert/strict';
import test from 'node:test';
import {
  activationsOf,
  emptySession,
  featuresOf,
  firstPosition,
  isOf,
  isTransient,
  lastPosition,
  nameIn,
  readingAt,
  receive,
  rename,
  renameIn,
  stepsUpTo,
  strongestUpTo,
  tokensPerSecond,
} from '../../ui/js/session.js';
import { SAE, end, start, step } from './messages.mjs';

const MESSAGES = [
  start,
  step(0, {}, { prompt: true, bos: true }),
  step(1, { 7: 2 }, { prompt: true }),
  step(2, { 7: 1, 8: 5 }),
  step(3, { 9: 3 }),
  end,
];

/** A session that has received these messages, each its own copy. */
function received(messages) {
  const session = emptySession('s1');
  const changes = messages.map((message) => receive(session, structuredClone(message)));
  return { session, changes };
}

test('a reading while one types is told from a session, and knows what it is of', () => {
  const { session } = received(MESSAGES);
  const { prompt, model, saes } = start;
  assert.ok(!isTransient(null) && !isTransient(emptySession('s1')) && !isTransient(session));
  assert.ok(isTransient(received([{ ...start, transient: true }]).session));
  assert.ok(isOf(session, prompt, model, saes));
  assert.ok(!isOf(null, prompt, model, saes) && !isOf(session, `${prompt} `, model, saes));
  assert.ok(!isOf(session, prompt, 'other', saes) && !isOf(session, prompt, model, [...saes, 'x']));
});

test('a session is its messages', () => {
  const { session, changes } = received(MESSAGES);
  assert.deepEqual(
    changes,
    MESSAGES.map(() => true),
  );
  assert.equal(firstPosition(session), 1);
  assert.equal(lastPosition(session), 3);
  assert.equal(session.start.prompt, 'x');
  assert.equal(session.end.reason, 'max_tokens');
});

test('messages that come twice, as after a reload, change nothing', () => {
  const once = received(MESSAGES).session;
  const { session, changes } = received([...MESSAGES, ...MESSAGES]);
  assert.deepEqual(session, once);
  assert.deepEqual(
    changes.slice(MESSAGES.length),
    MESSAGES.map(() => false),
  );
});

test('replay in pages and live events in between give the same session', () => {
  const [first, bos, one, two, three, last] = MESSAGES;
  assert.deepEqual(received([first, bos, two, one, three, two, last]).session, received(MESSAGES).session);
});

test('a step learns its next token from the step after it, and keeps the one it was told', () => {
  const { session } = received(MESSAGES);
  assert.deepEqual(
    session.steps.map((one) => one.next?.text ?? null),
    [' t1', ' t2', ' t3', null],
  );
  const told = { ...step(2), next: { token_id: 99, text: ' told' } };
  assert.equal(received([told, step(3)]).session.steps[2].next.text, ' told');
});

test('an unknown message is not part of a session', () => {
  const session = emptySession('s1');
  assert.equal(receive(session, { kind: 'sessions_changed' }), false);
  assert.deepEqual(session, emptySession('s1'));
});

test('everything is a function of the steps up to the cursor, without BOS', () => {
  const { session } = received(MESSAGES);
  assert.deepEqual(
    stepsUpTo(session, 2).map((one) => one.position),
    [1, 2],
  );
  assert.deepEqual(stepsUpTo(session, 0), []);
  assert.deepEqual(
    [0, 1, 2, 3].map((t) => strongestUpTo(session, SAE, t)),
    [0, 2, 5, 5],
  );
  assert.equal(readingAt(session, SAE, 2).features[0].feature, 8);
  assert.equal(readingAt(session, 'another', 2), null);
  assert.equal(readingAt(null, SAE, 0), null);
  assert.deepEqual(activationsOf(session.steps, SAE, 7), [0, 2, 1, 0]);
});

test('speed is that of the new tokens while they come, and that of the run at its end', () => {
  assert.equal(tokensPerSecond(null), null);
  assert.equal(tokensPerSecond(received(MESSAGES.slice(0, 3)).session), null);
  assert.equal(tokensPerSecond(received(MESSAGES.slice(0, 5)).session), 100);
  assert.equal(tokensPerSecond(received(MESSAGES).session), 125);
});

const described = (label) => ({ label, label_state: 'labelled', label_origin: 'neuronpedia' });

test('features are renamed in every step where they fired, and only those of the SAE', () => {
  const { session } = received(MESSAGES);
  session.steps[3].saes.another = { features: [{ feature: 7, label: null, label_state: 'pending' }] };
  const renamed = renameIn(
    session,
    SAE,
    new Map([
      [7, described('rivers')],
      [99, described('not here')],
    ]),
  );
  assert.deepEqual([...renamed], [7]);
  assert.deepEqual(
    [1, 2].map((t) => readingAt(session, SAE, t).features.find((active) => active.feature === 7).label),
    ['rivers', 'rivers'],
  );
  assert.equal(session.steps[2].saes[SAE].features[0].label, 'label 8');
  assert.equal(session.steps[3].saes.another.features[0].label, null);
  assert.deepEqual([...renameIn(session, SAE, new Map([[7, described('rivers')]]))], []); // the same again is no news
});

test('a session with holes, or without steps, can be renamed', () => {
  const { session } = received([start, step(2, { 7: 1 })]);
  assert.deepEqual([...renameIn(session, SAE, new Map([[7, described('x')]]))], [7]);
  assert.deepEqual([...renameIn(emptySession('s2'), SAE, new Map())], []);
});

test('a new reason for having no label is a new name', () => {
  const list = [{ feature: 1, label: null, label_state: 'pending', label_origin: null }];
  const renamed = new Set();
  rename(list, new Map([[1, { label: null, label_state: 'unavailable', label_origin: null }]]), renamed);
  assert.deepEqual([...renamed], [1]);
  assert.equal(list[0].label_state, 'unavailable');
});

test('each feature of a session is asked for once, and called as it is in a step', () => {
  const { session } = received(MESSAGES);
  assert.deepEqual(featuresOf(session, SAE), [7, 8, 9]);
  assert.deepEqual(featuresOf(session, 'another'), []);
  assert.equal(nameIn(session, SAE, 9).label, 'label 9');
  assert.equal(nameIn(session, SAE, 10), null);
  assert.equal(nameIn(null, SAE, 9), null);
});

test('renaming 900 features looks once at each feature that fired, however many are renamed', () => {
  const session = emptySession('long');
  for (let t = 0; t < 500; t++) {
    receive(session, step(t, Object.fromEntries(Array.from({ length: 15 }, (_, i) => [(t * 7 + i * 61) % 900, 1]))));
  }
  let looked = 0;
  class Counted extends Map {
    get(key) {
      looked++;
      return super.get(key);
    }
  }
  const names = new Counted(Array.from({ length: 900 }, (_, i) => [i, described(`label number ${i}`)]));
  assert.equal(renameIn(session, SAE, names).size, 900);
  assert.equal(looked, session.steps.flatMap((one) => one.saes[SAE].features).length);
});
