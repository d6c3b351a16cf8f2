// @ts-check
// What the page asks of the program about past sessions: the list and searching it, changing, deleting, comparing,
// files.

import { attempt, quietly } from './bridge.js';

/** @import { Call } from './bridge.js' */
/** @import { State } from './state.js' */
/** @import { Comparison, Firing, SessionRow } from './types.js' */

const SESSIONS = 40; // a call
const LARGEST = 11_000_000; // bytes of a file that the page takes; the terminal takes larger ones

/**
 * @param {State} state
 * @param {Call} call
 */
export function createSessionActions(state, call) {
  /** What the list is narrowed to. */
  const wanted = () => ({ text: state.search.text, pinned: state.search.pinned });

  let asked = 0;

  /** The newest sessions again, as many as are shown. */
  async function refreshSessions() {
    const mine = ++asked; // an answer that comes after a later question is dropped
    const limit = Math.min(200, Math.max(SESSIONS, state.sessions.length));
    const answer = await call('sessions', { before: null, limit, ...wanted() });
    if (mine !== asked) return;
    state.sessions = /** @type {SessionRow[]} */ (answer.sessions);
    state.moreSessions = answer.more;
    state.sessionsBytes = answer.bytes;
    state.emit('sessions');
  }

  function olderSessions() {
    return attempt(state, async () => {
      const before = state.sessions.at(-1)?.uid ?? null;
      const answer = await call('sessions', { before, limit: SESSIONS, ...wanted() });
      state.sessions = [...state.sessions, ...answer.sessions];
      state.moreSessions = answer.more;
      state.emit('sessions');
    });
  }

  /** Narrows the list. @param {Partial<{text: string, pinned: boolean}>} search */
  function searchSessions(search) {
    Object.assign(state.search, search);
    state.sessions = [];
    refreshSessions().catch(quietly);
  }

  /**
   * @param {string} session
   * @param {{title?: string, note?: string, pinned?: boolean}} changes
   */
  function editSession(session, changes) {
    return attempt(state, async () => {
      const row = await call('edit_session', { session, ...changes });
      state.sessions = state.sessions.map((one) => (one.uid === session ? row : one));
      state.emit('sessions');
    });
  }

  /** Deletes a session, and offers to bring it back. @param {SessionRow} row */
  function deleteSession(row) {
    return attempt(state, async () => {
      const { deleted } = await call('delete_sessions', { sessions: [row.uid] });
      if (!deleted.length) return state.say('It is being written, and cannot be deleted yet.');
      state.forget(row.uid);
      state.say(`Deleted “${row.title}”. It can be brought back for a day.`, {
        word: 'Undo',
        act: () => void restoreSession(row.uid),
      });
    });
  }

  /** @param {string} uid */
  function restoreSession(uid) {
    return attempt(state, async () => {
      await call('restore_sessions', { sessions: [uid] });
      state.say('It is back.');
    });
  }

  /** Writes a session into the folder of downloads. @param {string} session @param {string} form */
  function exportSession(session, form) {
    return attempt(state, async () => {
      saved(await call('export_session', { session, form }));
    });
  }

  /** Writes a picture of the graph. @param {string} png  a data URL */
  async function savePicture(png) {
    const { session } = state;
    if (!session) return;
    return attempt(state, async () => {
      saved(await call('save_picture', { session: session.uid, png: png.split(',')[1] }));
    });
  }

  /** @param {{file: string}} written */
  const saved = ({ file }) => state.say(`Saved: ${file}`);

  /** Takes in a session from a file. Gives its uid, or nothing. @param {File} file */
  async function importSession(file) {
    if (file.size > LARGEST) {
      const hint = 'Use `axon-shell sessions import` in a terminal.';
      return void state.fail({ kind: 'session_file', message: `${file.name} is too large for the page.`, hint });
    }
    return attempt(state, async () => {
      const bytes = new Uint8Array(await file.arrayBuffer());
      let text = '';
      for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
      const found = await call('import_session', { content: btoa(text) });
      state.say(found.added ? `Taken in: “${found.title}”.` : `“${found.title}” is here already.`);
      return /** @type {string} */ (found.session);
    });
  }

  /**
   * @param {string} a
   * @param {string} b
   * @returns {Promise<Comparison>}
   */
  const compare = (a, b) => call('compare', { a, b });

  /**
   * The sessions in which a feature fired, strongest first.
   * @param {string} sae
   * @param {number} feature
   * @returns {Promise<{firings: Firing[]}>}
   */
  const firings = (sae, feature) => call('firings', { sae, feature, limit: 9 });

  return {
    refreshSessions,
    olderSessions,
    searchSessions,
    editSession,
    deleteSession,
    exportSession,
    savePicture,
    importSession,
    compare,
    firings,
  };
}
