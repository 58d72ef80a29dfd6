// What the page is about: the client, the session that is shown, the list of sessions. Views subscribe; no view talks to
// the gateway by itself.

import { Client, ClientClosedError, GatewayError, SessionEndedError } from '../vendor/claude-ws-client/index.js';

const TOKEN = 'claude-ws.token';
const LIST_EVERY_MS = 10_000;
/** Sessions that are listed; a search finds the others. */
const LISTED = 100;

/** The one tool that this page offers to the model. */
const TIME_ZONE = {
  name: 'browser_time_zone',
  description: "The time zone of the user's browser, its current local time, and the preferred languages.",
  input_schema: { type: 'object', properties: {}, additionalProperties: false },
};

function timeZone() {
  return JSON.stringify({
    time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    local_time: new Date().toString(),
    languages: navigator.languages,
  });
}

/** The gateway's address, beside the page: it works under any path prefix. */
export function socketUrl() {
  const url = new URL('ws', document.baseURI);
  url.protocol = url.protocol.replace('http', 'ws');
  url.hash = '';
  url.search = '';
  return url.href;
}

export class App extends EventTarget {
  client = undefined;
  session = undefined;
  /** The sessions in which something happened last, at most `LISTED`. */
  sessions = [];
  /** How many there are in all. */
  total = 0;
  /** What the gateway found for a text, among all sessions. */
  found = { text: '', sessions: [] };
  /** Set while the gateway wants a token that this page does not have. */
  needsToken = false;
  error = undefined;
  #timer = undefined;
  /** Counts what the page was told to show; what waited and is no longer the last of it leaves the page alone. */
  #wanted = 0;

  get token() {
    return sessionStorage.getItem(TOKEN) ?? undefined;
  }

  get connection() {
    return this.client?.connection ?? { status: 'idle' };
  }

  get state() {
    return this.session?.state;
  }

  /** Connects, and shows the session that the address names. */
  async open() {
    if (await this.#refused()) return;
    this.client = new Client({ url: socketUrl(), token: () => this.token });
    this.client.onConnection(async (connection) => {
      this.#changed();
      if (connection.status === 'open') void this.refreshList();
      // A browser is not told why a handshake failed.
      if (connection.status === 'waiting' && connection.attempt > 1) await this.#refused();
    });
    this.client.connect();
    addEventListener('online', () => this.connection.status !== 'closed' && this.client.connect());
    addEventListener('hashchange', () => this.#follow());
    document.addEventListener('visibilitychange', () => !document.hidden && this.refreshList());
    this.#timer ??= setInterval(() => !document.hidden && this.refreshList(), LIST_EVERY_MS);
    this.#follow(true);
  }

  /** Takes a token (or none) and starts over with it. */
  useToken(token) {
    if (token) sessionStorage.setItem(TOKEN, token);
    else sessionStorage.removeItem(TOKEN);
    location.reload();
  }

  /** Makes a session, or attaches to one by its id, and shows it. */
  async start(options) {
    const wanted = this.#leave();
    const session = this.client.open({
      ...options, client_tools: [TIME_ZONE], tools: { [TIME_ZONE.name]: timeZone },
    });
    await this.#show(session);
    if (wanted !== this.#wanted) return;
    history.replaceState(null, '', `#${session.id}`);
    void this.refreshList();
  }

  async attach(sessionId, quietly = false) {
    if (this.session?.id === sessionId) return;
    const wanted = this.#leave();
    try {
      await this.client.info(sessionId);
      if (wanted !== this.#wanted) return;
      await this.#show(this.client.open({ sessionId, tools: { [TIME_ZONE.name]: timeZone } }));
    } catch (error) {
      if (wanted !== this.#wanted) return;
      history.replaceState(null, '', location.pathname + location.search);
      // After a reload: a session that never ran a turn is gone with its last connection, and nothing with it.
      if (!(quietly && error instanceof GatewayError && error.code === 'unknown_session')) this.report(error);
    }
    this.#changed();
  }

  /** Shows no session; the one that was shown goes on at the gateway. */
  leave() {
    this.#leave();
    history.replaceState(null, '', location.pathname + location.search);
    void this.refreshList();
  }

  async refreshList() {
    if (this.connection.status !== 'open') return;
    try {
      const { sessions, total } = await this.client.listPage({ limit: LISTED });
      Object.assign(this, { sessions, total });
    } catch {
      return; // The next round tries again.
    }
    this.#changed();
  }

  /** Has the gateway look for sessions by title, directory, first words and metadata. */
  async search(text) {
    if (text === '' || this.total <= this.sessions.length || this.connection.status !== 'open') return;
    const page = await this.run(() => this.client.listPage({ search: text, limit: LISTED }));
    if (page) this.found = { text, sessions: page.sessions };
    this.#changed();
  }

  /** Runs something that the gateway may refuse, and shows the refusal. */
  async run(action) {
    try {
      return await action();
    } catch (error) {
      this.report(error);
      return undefined;
    }
  }

  report(error) {
    if (error instanceof ClientClosedError) return; // The banner says it.
    this.dispatchEvent(new CustomEvent('report', { detail: error instanceof Error ? error.message : String(error) }));
  }

  #follow(quietly = false) {
    let id;
    try {
      id = decodeURIComponent(location.hash.slice(1));
    } catch {
      return; // Nothing that could be decoded, so no id.
    }
    if (/^[A-Za-z0-9._:-]{1,128}$/.test(id)) void this.attach(id, quietly);
  }

  async #show(session) {
    this.session = session;
    let last = session.state.status;
    session.subscribe((state, input) => {
      if (state.status !== last) void this.refreshList();
      // The gateway knows best what the session has cost.
      if (input.type === 'result' && session.caughtUp) session.refresh().catch(() => {});
      last = state.status;
      this.#changed();
    });
    this.#changed();
    try {
      await session.ready;
    } catch (error) {
      if (this.session === session) this.session = undefined;
      this.#changed();
      if (!(error instanceof SessionEndedError && error.reason === 'closed')) throw error;
    }
  }

  /** Lets go of the session that is shown, and of any that was to be; gives the number of what is shown next. */
  #leave() {
    this.#wanted += 1;
    this.session?.close();
    this.session = undefined;
    this.#changed();
    return this.#wanted;
  }

  /** Whether the gateway refuses this token; the page then asks for one. */
  async #refused() {
    const headers = this.token ? { authorization: `Bearer ${this.token}` } : {};
    const answer = await fetch(new URL('protocol.schema.json', document.baseURI), { headers, cache: 'no-store' }).catch(() => undefined);
    if (answer?.status !== 401) return false;
    this.needsToken = true;
    this.client?.close();
    this.#changed();
    return true;
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }
}
