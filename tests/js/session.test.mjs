import assert from 'node:assert/strict';
import test from 'node:test';
import {
  activationsOf,
  emptySession,
  firstPosition,
  lastPosition,
  readingAt,
  receive,
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
