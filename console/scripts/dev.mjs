// Serves the console from the disk in front of a running gateway, so that a change shows after a reload:
//   node scripts/dev.mjs http://127.0.0.1:3000 [port] [/path/prefix]
// Sets the same Content-Security-Policy as the gateway. For development only.

import { readFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { extname } from 'node:path';
import { pathToFileURL } from 'node:url';

const ROOT = new URL('../', import.meta.url);
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml' };

async function policy() {
  const source = await readFile(new URL('../src/console/mod.rs', ROOT), 'utf8');
  return /CONTENT_SECURITY_POLICY: &str = "([^"]*)"/.exec(source)[1].replace(/\\\n\s*/g, '');
}

/** Settles with the URL of the console once it is served, and with what ends it. */
export async function serve(target, { port = 0, prefix = '' } = {}) {
  const upstream = new URL(target);
  const csp = await policy();
  const below = (url) => (url.startsWith(`${prefix}/`) ? url.slice(prefix.length) : undefined);
  const sockets = new Set();

  const server = createServer(async (incoming, outgoing) => {
    const path = below(incoming.url);
    if (path === undefined) return outgoing.writeHead(404).end();
    const name = path === '/' ? 'index.html' : new URL(path, 'http://x').pathname.slice(1);
    if (/^(index\.html|favicon\.svg|(css|js|vendor)\/[\w./-]+)$/.test(name)) {
      const file = await readFile(new URL(name, ROOT)).catch(() => undefined);
      if (!file) return outgoing.writeHead(404).end();
      outgoing.writeHead(200, { 'content-type': TYPES[extname(name)] ?? 'text/plain', 'content-security-policy': csp, 'cache-control': 'no-cache' });
      return outgoing.end(file);
    }
    const passed = request(upstream, { path, method: incoming.method, headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    passed.on('error', () => outgoing.writeHead(502).end());
    return incoming.pipe(passed);
  });

  server.on('upgrade', (incoming, client, head) => {
    const gateway = connect(Number(upstream.port), upstream.hostname, () => {
      const headers = [];
      for (let at = 0; at < incoming.rawHeaders.length; at += 2) headers.push(`${incoming.rawHeaders[at]}: ${incoming.rawHeaders[at + 1]}`);
      gateway.write(`GET ${below(incoming.url) ?? '/'} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`);
      gateway.write(head);
      client.pipe(gateway).pipe(client);
    });
    for (const [one, other] of [[client, gateway], [gateway, client]]) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => { sockets.delete(one); other.destroy(); });
    }
  });

  await new Promise((ready) => server.listen(port, '127.0.0.1', ready));
  return {
    url: `http://127.0.0.1:${server.address().port}${prefix}/`,
    /** Cuts every WebSocket, as a broken network would. */
    cut: () => { for (const socket of sockets) socket.destroy(); },
    close: () => new Promise((done) => {
      for (const socket of sockets) socket.destroy();
      server.close(done);
      server.closeAllConnections();
    }),
  };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [target = 'http://127.0.0.1:3000', port = '3001', prefix = ''] = process.argv.slice(2);
  console.log(`console: ${(await serve(target, { port: Number(port), prefix })).url}`);
}
