// A gateway of a few lines behind the page's WebSocket, for what a real agent does not do on demand.

/** Shows the page a session whose events are these; gives what the page asks for, and a way to say more. */
export async function fakeSession(page, events, answers = {}) {
  const asked = [];
  let socket;
  let seq = 0;
  const stamped = (event) => ({ id: `m${(seq += 1)}`, session_id: 'fake', seq, timestamp: Date.now(), ...event });
  const log = events.map(stamped);
  const say = (event) => socket.send(JSON.stringify(stamped(event)));
  const info = (fields) => ({
    type: 'session_info', id: 'i', session_id: 'fake', status: 'active', state: 'idle', created: false, cwd: '/srv/shop', permission_mode: 'manual',
    metadata: {}, num_turns: 1, total_cost_usd: 0, created_at: 1, epoch: 'e', first_seq: 1, last_seq: log.length, replay: 'none',
    pending_permissions: [], queued: [], tasks: [], agent: { state: 'running' },
    server: { name: 'fake', version: '0', protocol: 1, heartbeat_ms: 15_000, max_message_bytes: 1 << 20 }, ...fields,
  });
  await page.routeWebSocket(/\/ws$/, (opened) => {
    socket = opened;
    opened.onMessage((text) => {
      const message = JSON.parse(text);
      const reply = (fields) => opened.send(JSON.stringify({ id: 'r', session_id: 'fake', request_id: message.id, ...fields }));
      if (message.type === 'heartbeat') return reply({ type: 'heartbeat', timestamp: Date.now() });
      if (message.type === 'session_list') {
        const sessions = answers.sessions ?? [];
        return reply({ type: 'session_list', sessions, total: sessions.length, ...answers.list?.(message) });
      }
      if (message.type === 'session_info') return reply(info({ request_id: message.id }));
      if (message.type === 'session_start') {
        reply(info({ replay: 'ok', request_id: message.id }));
        for (const event of log) opened.send(JSON.stringify(event));
        return undefined;
      }
      asked.push(message);
      const answer = answers[message.type]?.(message);
      if (answer?.type === 'error' || answer?.reply) return reply(answer);
      return answer && say({ request_id: message.id, ...answer });
    });
  });
  return { asked, say };
}
